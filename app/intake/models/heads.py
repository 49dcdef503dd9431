"""Which head lies on an encoder, by its tensors. Sizes: H hidden, V vocabulary, C classes."""

from dataclasses import dataclass
from typing import Literal

from app.domain.architectures import BiLstmArchitecture, EncoderArchitecture, EncoderFamilyName
from app.domain.errors import InvalidRequest
from app.intake.models.expected_tensors import Shapes, encoder_words, linear, norm

HeadKind = Literal["text", "token", "word"]
"""Whether it answers for a text, for each token, or gives words."""


@dataclass(frozen=True)
class _WordHead:
    """The parts of a masked-language model's head."""

    dense: str
    norm: str
    bias: str
    decoder: str
    """The output matrix, which is the word table; it may be stored a second time, its bias too."""


@dataclass(frozen=True)
class _Heads:
    dense: str
    """The layer between a text's encoding and its classifier."""
    text: str
    token: str
    word: _WordHead


_LM_HEAD = _WordHead("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder")
_ROBERTA = _Heads("classifier.dense", "classifier.out_proj", "classifier", _LM_HEAD)
_HEADS: dict[EncoderFamilyName, _Heads] = {
    "bert": _Heads(
        "bert.pooler.dense",
        "classifier",
        "classifier",
        _WordHead(
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias",
            "cls.predictions.decoder",
        ),
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": _Heads(
        "pre_classifier",
        "classifier",
        "classifier",
        _WordHead("vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector"),
    ),
}


@dataclass(frozen=True)
class FoundHead:
    """A head that weights hold."""

    kind: HeadKind
    outputs: int
    tensors: Shapes
    """That must be there."""
    copies: dict[str, str]
    """Tensors that may be there, and what they must equal."""


def find_head(shapes: Shapes, architecture: EncoderArchitecture, *, network: str) -> FoundHead | None:
    """The head among an encoder's tensors, or None.

    Args:
        shapes: of all tensors.
        architecture: of the encoder.
        network: the class that wrote them, where that is known: a BERT that classifies tokens may have kept
            a pooler, without use.
    """
    names, hidden = _HEADS[architecture.family], architecture.shape.hidden
    tokens_only = network.endswith("ForTokenClassification")
    if {f"{names.dense}.weight", f"{names.text}.weight"} <= shapes.keys() and not tokens_only:
        classes = _rows(shapes, names.text)
        tensors = linear(names.dense, hidden, hidden) | linear(names.text, classes, hidden)
        return FoundHead("text", classes, tensors, {})
    if f"{names.token}.weight" in shapes:
        classes = _rows(shapes, names.token)
        return FoundHead("token", classes, linear(names.token, classes, hidden), {})
    word = names.word
    if f"{word.dense}.weight" in shapes:
        tensors = linear(word.dense, hidden, hidden) | norm(word.norm, hidden)
        copies = {f"{word.decoder}.weight": encoder_words(architecture)}
        if word.bias != f"{word.decoder}.bias":
            copies[f"{word.decoder}.bias"] = word.bias
        return FoundHead(
            "word", architecture.vocabulary, tensors | {word.bias: (architecture.vocabulary,)}, copies
        )
    return None


def bilstm_head(shapes: Shapes, architecture: BiLstmArchitecture, *, network: str) -> FoundHead:
    """The classifier of a BiLSTM. Those of texts and of tokens look alike.

    Raises:
        InvalidRequest: there is none, or it is not said which of the two it is.
    """
    kinds: dict[str, HeadKind] = {"ForSequenceClassification": "text", "ForTokenClassification": "token"}
    kind = next((kind for suffix, kind in kinds.items() if network.endswith(suffix)), None)
    if kind is None:
        raise InvalidRequest(
            "unsupported_head",
            f"config.json has architectures {network[:80]!r}, which does not end in "
            f"{' or '.join(kinds)}. Upload the config.json that this service wrote.",
        )
    classes = _rows(shapes, "classifier") if "classifier.weight" in shapes else 1
    return FoundHead(kind, classes, linear("classifier", classes, architecture.shape.projection), {})


def _rows(shapes: Shapes, name: str) -> int:
    shape = shapes[f"{name}.weight"]
    return shape[0] if shape else 0
