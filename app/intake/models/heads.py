"""Which head lies on a network, by its tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.architectures import BiLstmArchitecture, EncoderArchitecture, HeadKind, TfidfArchitecture
from app.domain.architectures.heads import CLASS_SUFFIXES
from app.domain.architectures.tensors import Shapes
from app.domain.errors import InvalidRequest


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

    Raises:
        InvalidRequest: it is of texts, of tokens or of answers to questions, whose heads look alike in this
            family, and the class does not say which.
    """
    heads = architecture.record.heads
    tokens_only = network.endswith(CLASS_SUFFIXES["token"])
    text, token, span, word = heads["text"], heads["token"], heads["span"], heads["word"]
    if text == token == span and f"{text.output}.weight" in shapes:
        kind = _require_class(network, ("text", "token", "span"))
        return _found(kind, architecture, outputs=_rows(shapes, text.output))
    if f"{span.output}.weight" in shapes and span != token:
        return _found("span", architecture, outputs=_rows(shapes, span.output))
    if {f"{text.dense}.weight", f"{text.output}.weight"} <= shapes.keys() and not tokens_only:
        return _found("text", architecture, outputs=_rows(shapes, text.output))
    if f"{token.output}.weight" in shapes:
        return _found("token", architecture, outputs=_rows(shapes, token.output))
    if f"{word.dense}.weight" in shapes:
        return _found("word", architecture, outputs=architecture.vocabulary)
    return None


def own_head(
    shapes: Shapes, architecture: BiLstmArchitecture | TfidfArchitecture, *, network: str
) -> FoundHead:
    """The classifier of a student of a kind of our own. A BiLSTM's of texts and of tokens look alike.

    Raises:
        InvalidRequest: there is none, or it is not said which of the two it is.
    """
    output = architecture.record.head.output
    kind = _require_class(network, architecture.record.head_kinds)
    classes = _rows(shapes, output) if f"{output}.weight" in shapes else 1
    return FoundHead(kind, classes, architecture.head_tensors(outputs=classes), {})


def _require_class(network: str, kinds: Sequence[HeadKind]) -> HeadKind:
    """The kind of head of the class that a config names."""
    for kind in kinds:
        if network.endswith(CLASS_SUFFIXES[kind]):
            return kind
    raise InvalidRequest(
        "unsupported_head",
        f"config.json has architectures {network[:80]!r}, which does not end in "
        f"{' or '.join(CLASS_SUFFIXES[kind] for kind in kinds)}. Upload the config.json that was saved with "
        "the weights.",
    )


def _found(kind: HeadKind, architecture: EncoderArchitecture, *, outputs: int) -> FoundHead:
    tensors = architecture.head_tensors(kind, outputs=outputs)
    return FoundHead(kind, outputs, tensors, architecture.head_copies(kind))


def _rows(shapes: Shapes, name: str) -> int:
    shape = shapes[f"{name}.weight"]
    return shape[0] if shape else 0
