"""Reading the header of ``model.safetensors`` and comparing it with the config. No tensor is loaded.

Sizes: V vocabulary, P positions, T token types, H hidden, F ffn, C classes.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from app.core.errors import InvalidRequest
from app.core.shapes import Architecture, EncoderCard

Shapes = dict[str, tuple[int, ...]]

_MAX_HEADER_BYTES = 16 * 2**20
_FLOATS = {"F16", "BF16", "F32", "F64"}
_PREFIXES: dict[Architecture, str] = {
    "bert": "bert.",
    "roberta": "roberta.",
    "xlm-roberta": "roberta.",
    "distilbert": "distilbert.",
}
_LEGACY_NORM = {"gamma": "weight", "beta": "bias"}  # as BERT's first checkpoints name them
_SHOWN = 3


@dataclass(frozen=True)
class WeightsReport:
    """What the weights hold."""

    parameters: int
    """Of the encoder, and of the head where there is one."""
    classes: int | None
    """Outputs of the classifier; None for an encoder without one."""


def check_weights(path: Path, card: EncoderCard) -> WeightsReport:
    """Hold the weights against what the config promises.

    Raises:
        InvalidRequest: not safetensors, or other tensors than the config's.
    """
    shapes = _read_shapes(path)
    prefix = _PREFIXES[card.architecture]
    if not any(name.startswith(prefix) for name in shapes):
        # A bare encoder was saved without the name of its family.
        shapes = {name if _is_head(name, card) else prefix + name: shape for name, shape in shapes.items()}
    expected = _encoder_shapes(card)
    _require_same(expected, shapes, prefix)
    head = _head_shapes(shapes, card)
    pooler = {name: shapes[name] for name in shapes if name.startswith(f"{prefix}pooler.dense.")}
    counted = expected | pooler | (head or {})
    return WeightsReport(
        parameters=sum(math.prod(shape) for shape in counted.values()),
        classes=None if head is None else next(reversed(head.values()))[0],
    )


def _read_shapes(path: Path) -> Shapes:
    with path.open("rb") as file:
        start = file.read(9)
    header_bytes = int.from_bytes(start[:8], "little")
    if start[8:] != b"{" or header_bytes > _MAX_HEADER_BYTES:
        # Only now: the length of a sound header can read like the start of a pickle.
        raise pickled_weights(path.name) if is_pickle(start) else _invalid("is not in the safetensors format")
    try:
        with safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise _invalid(f"cannot be read ({error})") from None
    for name, part in slices.items():
        if name.endswith((".weight", ".bias")) and part.get_dtype() not in _FLOATS:
            raise _invalid(f"holds {name} as {part.get_dtype()}, not as floating-point numbers")
    return {_modern(name): tuple(part.get_shape()) for name, part in slices.items()}


def _modern(name: str) -> str:
    stem, _, leaf = name.rpartition(".")
    return f"{stem}.{_LEGACY_NORM[leaf]}" if leaf in _LEGACY_NORM else name


def _encoder_shapes(card: EncoderCard) -> Shapes:
    """Every tensor of the encoder: {name: shape}."""
    prefix, s = _PREFIXES[card.architecture], card.shape
    tables = {"word": card.vocabulary, "position": card.positions, "token_type": card.token_types}
    shapes: Shapes = {
        f"{prefix}embeddings.{table}_embeddings.weight": (rows, s.hidden)
        for table, rows in tables.items()
        if rows
    }
    shapes |= _norm(f"{prefix}embeddings.LayerNorm", s.hidden)
    for layer in range(s.layers):
        if card.architecture == "distilbert":
            stem = f"{prefix}transformer.layer.{layer}."
            for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
                shapes |= _linear(f"{stem}attention.{part}", s.hidden, s.hidden)
            shapes |= _linear(f"{stem}ffn.lin1", s.ffn, s.hidden) | _linear(
                f"{stem}ffn.lin2", s.hidden, s.ffn
            )
            shapes |= _norm(f"{stem}sa_layer_norm", s.hidden) | _norm(f"{stem}output_layer_norm", s.hidden)
        else:
            stem = f"{prefix}encoder.layer.{layer}."
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                shapes |= _linear(f"{stem}attention.{part}", s.hidden, s.hidden)
            shapes |= _linear(f"{stem}intermediate.dense", s.ffn, s.hidden)
            shapes |= _linear(f"{stem}output.dense", s.hidden, s.ffn)
            shapes |= _norm(f"{stem}attention.output.LayerNorm", s.hidden)
            shapes |= _norm(f"{stem}output.LayerNorm", s.hidden)
    return shapes


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _head_names(card: EncoderCard) -> tuple[str, str]:
    """The dense layer of the head and its classifier."""
    if card.architecture == "bert":
        return "bert.pooler.dense", "classifier"
    if card.architecture == "distilbert":
        return "pre_classifier", "classifier"
    return "classifier.dense", "classifier.out_proj"


def _is_head(name: str, card: EncoderCard) -> bool:
    return name.startswith(tuple(f"{part}." for part in _head_names(card)))


def _head_shapes(shapes: Shapes, card: EncoderCard) -> Shapes | None:
    """The sequence classifier's tensors, or None. A classifier without the dense layer is of another task."""
    dense, classifier = _head_names(card)
    hidden = card.shape.hidden
    if f"{dense}.weight" not in shapes or f"{classifier}.weight" not in shapes:
        return None
    classes = shapes[f"{classifier}.weight"][0] if shapes[f"{classifier}.weight"] else 0
    expected = _linear(dense, hidden, hidden) | _linear(classifier, classes, hidden)
    _require_same(expected, shapes, prefix=None)
    return expected


def _require_same(expected: Shapes, actual: Shapes, prefix: str | None) -> None:
    missing = [name for name in expected if name not in actual]
    if missing:
        raise _mismatch(f"lacks {_some(missing)}")
    for name, shape in expected.items():
        if actual[name] != shape:
            raise _mismatch(f"holds {name} as {list(actual[name])}, where the config means {list(shape)}")
    if prefix is not None:
        layers = re.compile(rf"{re.escape(prefix)}(encoder|transformer)\.layer\.\d+\..*\.(weight|bias)")
        extra = [name for name in actual if layers.fullmatch(name) and name not in expected]
        if extra:
            raise _mismatch(f"holds {_some(extra)}, which the config does not mean")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more tensors" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _mismatch(what: str) -> InvalidRequest:
    return InvalidRequest(
        "weights_do_not_fit_config",
        f"model.safetensors {what}. Upload the config and the weights of one and the same model.",
    )


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_weights",
        f"model.safetensors {what}. Save the model again with save_pretrained() and upload that folder.",
    )


def is_pickle(head: bytes) -> bool:
    """Whether a file's first bytes are those of a pickle, bare or in the zip that torch.save makes."""
    return (head[:1] == b"\x80" and head[1:2] in {b"\2", b"\3", b"\4", b"\5"}) or head[:4] == b"PK\3\4"


def pickled_weights(name: str) -> InvalidRequest:
    return InvalidRequest(
        "pickled_weights",
        f"{name} holds pickled weights, which can run code when opened. Save the model as safetensors: "
        "model.save_pretrained(folder, safe_serialization=True).",
        file=name,
    )
