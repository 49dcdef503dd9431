"""The table of architecture families: one row each, with the config of a tiny network of transformers.

A new family needs a row here, and no other change to the tests.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

from app.domain.architectures import (
    ENCODERS,
    AnyShape,
    BiLstmShape,
    EncoderDecoderShape,
    EncoderShape,
    EncoderTrait,
    StaticShape,
    TfidfShape,
)


class Pieces(NamedTuple):
    """How a tokenizer cuts texts, and the special tokens around them, in the order of their ids."""

    model: Literal["word_piece", "byte_pairs", "unigram"]
    special: tuple[str, ...]
    frame: tuple[str, str]
    unknown: str
    lowercase: bool = False


_BERT_PIECES = Pieces(
    "word_piece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), ("[CLS]", "[SEP]"), "[UNK]", lowercase=True
)
_ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_BYTE_PAIRS = Pieces("byte_pairs", _ROBERTA_SPECIAL, ("<s>", "</s>"), "<unk>")
_UNIGRAM = _BYTE_PAIRS._replace(model="unigram")


@dataclass(frozen=True)
class FamilyRow:
    """What a config says, and the network that it means."""

    config: dict[str, Any]
    shape: AnyShape
    other_shape: AnyShape
    """Another one that networks of the family can have."""
    token_types: int = 0
    details: dict[str, int] = field(default_factory=dict)
    """Of its architecture."""
    switches: dict[str, Any] = field(default_factory=dict)
    """Keys of its config that say no sizes, where they differ from the defaults."""
    pieces: Pieces = _BERT_PIECES
    common: dict[str, Any] = field(default_factory=lambda: {"vocab_size": 50, "max_position_embeddings": 20})

    @property
    def settings(self) -> dict[str, Any]:
        return self.common | self.config | self.switches


_BERT = {
    "num_hidden_layers": 3,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "type_vocab_size": 2,
}
_SHAPE = EncoderShape(layers=3, hidden=24, heads=4, ffn=40)
_OTHER_SHAPE = EncoderShape(layers=2, hidden=16, heads=2, ffn=48)

FAMILY_ROWS = {
    "bert": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2),
    "roberta": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2, pieces=_BYTE_PAIRS),
    "xlm-roberta": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2, pieces=_UNIGRAM),
    "distilbert": FamilyRow({"n_layers": 3, "dim": 24, "n_heads": 4, "hidden_dim": 40}, _SHAPE, _OTHER_SHAPE),
    "electra": FamilyRow(
        _BERT | {"embedding_size": 12},
        _SHAPE.model_copy(update={"embedding": 12}),
        _OTHER_SHAPE,
        token_types=2,
    ),
    "albert": FamilyRow(
        _BERT | {"embedding_size": 12},
        _SHAPE.model_copy(update={"embedding": 12}),
        _OTHER_SHAPE,
        token_types=2,
        pieces=Pieces(
            "unigram",
            ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
            ("[CLS]", "[SEP]"),
            "<unk>",
            lowercase=True,
        ),
    ),
    "mpnet": FamilyRow(
        {key: size for key, size in _BERT.items() if key != "type_vocab_size"},
        _SHAPE,
        _OTHER_SHAPE,
        pieces=Pieces(
            "word_piece",
            ("<s>", "<pad>", "</s>", "[UNK]", "<mask>"),
            ("<s>", "</s>"),
            "[UNK]",
            lowercase=True,
        ),
    ),
    "deberta-v2": FamilyRow(
        _BERT | {"type_vocab_size": 0},
        _SHAPE,
        _OTHER_SHAPE,
        details={"absolute_positions": 0, "distances": 16, "norms_distances": 1},
        switches={
            "position_biased_input": False,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
        pieces=Pieces("unigram", ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), ("[CLS]", "[SEP]"), "[UNK]"),
    ),
    "modernbert": FamilyRow(
        {
            "num_hidden_layers": 3,
            "hidden_size": 24,
            "num_attention_heads": 4,
            "intermediate_size": 40,
            "global_attn_every_n_layers": 2,
        },
        _SHAPE,
        _OTHER_SHAPE,
        details={"global_every": 2},
        switches={
            "pad_token_id": 0,
            "local_attention": 6,
            **dict.fromkeys(("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id")),
        },
        pieces=Pieces(
            "byte_pairs", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), ("[CLS]", "[SEP]"), "[UNK]"
        ),
    ),
    "camembert": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2, pieces=_UNIGRAM),
    "marian": FamilyRow(
        {
            "d_model": 24,
            "encoder_layers": 3,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 40,
            "decoder_ffn_dim": 40,
            "pad_token_id": 49,
            "decoder_start_token_id": 49,
        },
        EncoderDecoderShape(encoder_layers=3, decoder_layers=2, hidden=24, heads=4, ffn=40, decoder_heads=2),
        EncoderDecoderShape(
            encoder_layers=2, decoder_layers=1, hidden=16, heads=2, ffn=24, decoder_hidden=8, decoder_ffn=16
        ),
    ),
    "bilstm": FamilyRow(
        {"embedding_size": 12, "hidden_size": 16, "projection_size": 20},
        BiLstmShape(embedding=12, hidden=16, projection=20),
        BiLstmShape(embedding=8, hidden=10, projection=14),
    ),
    "tfidf": FamilyRow({"terms": 32}, TfidfShape(terms=32), TfidfShape(terms=20)),
    "static": FamilyRow({"dimensions": 12}, StaticShape(dimensions=12), StaticShape(dimensions=8)),
}


def padding_of(family: str) -> int:
    """The id of padding that a family fixes; else that of the tiny tokenizer."""
    return next(iter(get_args(ENCODERS[family].config.model_fields["pad_token_id"].annotation)), 0)


def narrow_as(family: str, shape: EncoderShape) -> EncoderShape:
    """A shape with embeddings as narrow as those in the row of a family."""
    row = FAMILY_ROWS[family].shape
    assert isinstance(row, EncoderShape)
    return shape.model_copy(update={"embedding": row.embedding})


def layout_of(family: str) -> str:
    """All that a record says but for the names of the family and its classes."""
    return repr(replace(ENCODERS[family], name="", title="", class_prefix="", tokenizer_class=""))


def traits_of(family: str) -> frozenset[EncoderTrait]:
    """Those of the network in the row of a family."""
    row = FAMILY_ROWS[family]
    assert isinstance(row.shape, EncoderShape)
    return ENCODERS[family].traits(row.shape.sizes | row.details)


def one_for_each(kind: Callable[[str], Hashable]) -> list[str]:
    """The first encoder family of each kind."""
    found: dict[Hashable, str] = {}
    for family in ENCODERS:
        found.setdefault(kind(family), family)
    return list(found.values())


EACH_TRAITS = one_for_each(traits_of)
"""An encoder family for each set of traits that there is."""

EACH_LAYOUT = one_for_each(lambda family: (traits_of(family), FAMILY_ROWS[family].pieces))
"""An encoder family for each set of traits and each kind of tokenizer."""
