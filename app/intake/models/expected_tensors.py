"""The tensors that a config promises, by family. Names are those that ``save_pretrained`` writes."""

from app.domain.architectures import (
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderShape,
)

Shapes = dict[str, tuple[int, ...]]

PREFIXES = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "distilbert": "distilbert."}
"""What a family puts before the names of its encoder where a head lies on top."""

_SHARED_WORDS = "model.shared.weight"
_ENCODER_WORDS = "model.encoder.embed_tokens.weight"
_DECODER_WORDS = "model.decoder.embed_tokens.weight"


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def encoder_words(architecture: EncoderArchitecture) -> str:
    """The name of the word table."""
    return f"{PREFIXES[architecture.family]}embeddings.word_embeddings.weight"


def encoder_tensors(architecture: EncoderArchitecture) -> Shapes:
    """Every tensor of an encoder without its head."""
    prefix, s = PREFIXES[architecture.family], architecture.shape
    tables = {
        "word": architecture.vocabulary,
        "position": architecture.positions,
        "token_type": architecture.token_types,
    }
    shapes: Shapes = {
        f"{prefix}embeddings.{table}_embeddings.weight": (rows, s.hidden)
        for table, rows in tables.items()
        if rows
    }
    if s.embedding is not None:
        words = f"{prefix}embeddings.word_embeddings"
        del shapes[f"{words}.weight"]
        shapes |= {
            f"{words}.0.weight": (architecture.vocabulary, s.embedding),
            f"{words}.1.weight": (s.hidden, s.embedding),
        }
    shapes |= norm(f"{prefix}embeddings.LayerNorm", s.hidden)
    for layer in _first_runs(architecture):
        if architecture.family == "distilbert":
            shapes |= _distilbert_layer(f"{prefix}transformer.layer.{layer}.", s)
        else:
            shapes |= _bert_layer(f"{prefix}encoder.layer.{layer}.", s)
    return shapes


def _first_runs(architecture: EncoderArchitecture) -> list[int]:
    """The places of the layers in the order they run in: where one runs again it is not stored again."""
    if architecture.schedule is None:
        return list(range(architecture.shape.layers))
    order = [use.layer for use in architecture.schedule]
    return [order.index(layer) for layer in range(architecture.shape.layers)]


def _matrix(name: str, outputs: int, inputs: int, rank: int | None) -> Shapes:
    """A linear part of a layer, whole or as a product of two."""
    if rank is None:
        return linear(name, outputs, inputs)
    return {f"{name}.0.weight": (rank, inputs)} | linear(f"{name}.1", outputs, rank)


def _bert_layer(stem: str, s: EncoderShape) -> Shapes:
    shapes: Shapes = {}
    for part in ("self.query", "self.key", "self.value", "output.dense"):
        shapes |= _matrix(f"{stem}attention.{part}", s.hidden, s.hidden, s.rank)
    shapes |= _matrix(f"{stem}intermediate.dense", s.ffn, s.hidden, s.rank)
    shapes |= _matrix(f"{stem}output.dense", s.hidden, s.ffn, s.rank)
    return (
        shapes
        | norm(f"{stem}attention.output.LayerNorm", s.hidden)
        | norm(f"{stem}output.LayerNorm", s.hidden)
    )


def _distilbert_layer(stem: str, s: EncoderShape) -> Shapes:
    shapes: Shapes = {}
    for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
        shapes |= _matrix(f"{stem}attention.{part}", s.hidden, s.hidden, s.rank)
    shapes |= _matrix(f"{stem}ffn.lin1", s.ffn, s.hidden, s.rank)
    shapes |= _matrix(f"{stem}ffn.lin2", s.hidden, s.ffn, s.rank)
    return shapes | norm(f"{stem}sa_layer_norm", s.hidden) | norm(f"{stem}output_layer_norm", s.hidden)


def translation_tensors(architecture: EncoderDecoderArchitecture) -> Shapes:
    """Every tensor of a translation model that is learnt."""
    encoder, decoder = architecture.shape.encoder, architecture.shape.decoder
    if architecture.shape.shares_embeddings:
        shapes: Shapes = {_SHARED_WORDS: (architecture.vocabulary, encoder.hidden)}
    else:
        shapes = {
            _ENCODER_WORDS: (architecture.vocabulary, encoder.hidden),
            _DECODER_WORDS: (architecture.vocabulary, decoder.hidden),
        }
    for layer in range(encoder.layers):
        stem = f"model.encoder.layers.{layer}."
        shapes |= _marian_attention(f"{stem}self_attn", encoder.hidden, encoder.hidden)
        shapes |= _marian_rest(stem, encoder)
    for layer in range(decoder.layers):
        stem = f"model.decoder.layers.{layer}."
        shapes |= _marian_attention(f"{stem}self_attn", decoder.hidden, decoder.hidden)
        shapes |= _marian_attention(f"{stem}encoder_attn", decoder.hidden, encoder.hidden)
        shapes |= _marian_rest(stem, decoder)
    return shapes


def translation_copies(architecture: EncoderDecoderArchitecture) -> dict[str, str]:
    """Tensors that may be stored a second time, and what they must equal."""
    if architecture.shape.shares_embeddings:
        return dict.fromkeys((_ENCODER_WORDS, _DECODER_WORDS, "lm_head.weight"), _SHARED_WORDS)
    return {"lm_head.weight": _DECODER_WORDS}


def translation_constants(architecture: EncoderDecoderArchitecture) -> tuple[Shapes, Shapes]:
    """What may be stored of what is not learnt: the output's bias, and positions, which are sines."""
    sides = {"encoder": architecture.shape.encoder, "decoder": architecture.shape.decoder}
    sines: Shapes = {
        f"model.{side}.embed_positions.weight": (architecture.positions, s.hidden)
        for side, s in sides.items()
    }
    return {"final_logits_bias": (1, architecture.vocabulary)}, sines


def _marian_attention(stem: str, width: int, source: int) -> Shapes:
    shapes = norm(f"{stem}_layer_norm", width)
    shapes |= linear(f"{stem}.q_proj", width, width) | linear(f"{stem}.out_proj", width, width)
    return shapes | linear(f"{stem}.k_proj", width, source) | linear(f"{stem}.v_proj", width, source)


def _marian_rest(stem: str, s: EncoderShape) -> Shapes:
    shapes = linear(f"{stem}fc1", s.ffn, s.hidden) | linear(f"{stem}fc2", s.hidden, s.ffn)
    return shapes | norm(f"{stem}final_layer_norm", s.hidden)


def bilstm_tensors(architecture: BiLstmArchitecture) -> Shapes:
    """Every tensor of a BiLSTM without its classifier. A direction's four gates lie in one matrix."""
    s = architecture.shape
    shapes: Shapes = {"word_embeddings.weight": (architecture.vocabulary, s.embedding)}
    for direction in ("", "_reverse"):
        for side, inputs in {"ih": s.embedding, "hh": s.hidden}.items():
            shapes[f"lstm.weight_{side}_l0{direction}"] = (4 * s.hidden, inputs)
            shapes[f"lstm.bias_{side}_l0{direction}"] = (4 * s.hidden,)
    return shapes | linear("projection", s.projection, 2 * s.hidden)
