"""Checks weights against the config."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.domain.architectures import (
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    StaticArchitecture,
    TfidfArchitecture,
)
from app.domain.architectures.tensors import Shapes, parameters
from app.domain.errors import InvalidRequest
from app.intake.models.heads import FoundHead, find_head, own_head
from app.intake.models.model_config import ModelConfig
from app.intake.models.static_tables import static_table
from app.intake.models.stored_weights import StoredWeights

_LEARNT = (".weight", ".bias")
_SHOWN = 3
_SINE_TOLERANCE = 1e-2  # above what bf16 rounds off


@dataclass(frozen=True)
class WeightsReport:
    """What the weights hold."""

    parameters: int
    """Parameters of the network, including its head."""
    head: FoundHead | None
    """None for an encoder without a head and for a translation model."""


def check_weights(path: Path, config: ModelConfig) -> WeightsReport:
    """Check the weights against the config.

    Raises:
        InvalidRequest: not safetensors, other tensors than the config's, or values that are no numbers.
    """
    stored = StoredWeights(path, legacy=config.architecture.record.legacy_tensors)
    report = _check(stored, config)
    stored.require_finite()
    return report


def _check(stored: StoredWeights, config: ModelConfig) -> WeightsReport:
    match config.architecture:  # what may lie beside the tensors that are learnt differs in kind
        case EncoderArchitecture() as architecture:
            return _check_encoder(stored, architecture, network=config.network)
        case EncoderDecoderArchitecture() as architecture:
            return _check_translation(stored, architecture)
        case BiLstmArchitecture() as architecture:
            return _check_bilstm(stored, architecture, network=config.network)
        case TfidfArchitecture() as architecture:
            return _check_tfidf(stored, architecture, network=config.network)
        case StaticArchitecture():
            raise static_table("config.json")


def _check_encoder(
    stored: StoredWeights, architecture: EncoderArchitecture, *, network: str
) -> WeightsReport:
    record = architecture.record
    prefix = f"{record.encoder}."
    shapes = stored.shapes
    if not any(name.startswith(prefix) for name in shapes):
        # A bare encoder was saved without the name of its family.
        shapes = {prefix + name: shape for name, shape in shapes.items()}
    expected = architecture.tensors()
    _refuse_wrapped(next(iter(expected)), stored.shapes, prefix=prefix)
    head = find_head(shapes, architecture, network=network)
    if head is not None:
        expected |= head.tensors
    _require_same(expected, shapes)
    if not architecture.is_plain:
        _refuse_others(expected, list(shapes))
        return WeightsReport(parameters(expected), head)
    _refuse_others(expected, [name for name in shapes if _is_in_a_layer(name, record.stack.layers)])
    if head is not None:
        _require_copies(stored, head.copies)
        return WeightsReport(parameters(expected), head)
    pooler = {name: shapes[name] for name in shapes if record.is_pooler(name)}
    return WeightsReport(parameters(expected | pooler), None)


def _check_bilstm(stored: StoredWeights, architecture: BiLstmArchitecture, *, network: str) -> WeightsReport:
    head = own_head(stored.shapes, architecture, network=network)
    expected = architecture.tensors() | head.tensors
    _require_same(expected, stored.shapes)
    _refuse_others(expected, list(stored.shapes))
    return WeightsReport(parameters(expected), head)


def _check_tfidf(stored: StoredWeights, architecture: TfidfArchitecture, *, network: str) -> WeightsReport:
    head = own_head(stored.shapes, architecture, network=network)
    learnt = architecture.tensors() | head.tensors
    _require_same(learnt | architecture.key_tensors(), stored.shapes)
    _refuse_others(learnt | architecture.key_tensors(), list(stored.shapes))
    return WeightsReport(parameters(learnt), head)


def _check_translation(stored: StoredWeights, architecture: EncoderDecoderArchitecture) -> WeightsReport:
    shapes = stored.shapes
    expected, copies = architecture.tensors(), architecture.copies()
    bias, sines = architecture.output_bias(), architecture.sine_tables()
    given = {name: shape for name, shape in (bias | sines).items() if name in shapes}
    _require_same(expected | given, shapes)
    _refuse_others(expected | given, [name for name in shapes if name not in copies])
    _require_copies(stored, copies)
    for name in given.keys() & sines.keys():
        if not np.allclose(stored.read(name), _sines(*sines[name]), atol=_SINE_TOLERANCE):
            raise _mismatch(f"has positions in {name} that are not the family's sinusoidal positions")
    return WeightsReport(parameters(expected), None)


def _sines(positions: int, width: int) -> npt.NDArray[np.float64]:
    """Vaswani et al. (2017), all sines before all cosines: (positions, width)."""
    rates = 10_000 ** (-2 * np.arange((width + 1) // 2) / width)
    angles = np.outer(np.arange(positions), rates)
    return np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1)


def _is_in_a_layer(name: str, layers: str) -> bool:
    return name.startswith(f"{layers}.") and name.endswith(_LEARNT)


def _require_same(expected: Shapes, actual: Shapes) -> None:
    missing = [name for name in expected if name not in actual]
    if missing:
        raise _mismatch(f"lacks {_some(missing)}")
    for name, shape in expected.items():
        if actual[name] != shape:
            raise _mismatch(f"holds {name} as {list(actual[name])}, but config.json implies {list(shape)}")


def _refuse_wrapped(expected: str, actual: Shapes, *, prefix: str) -> None:
    """Raise where the network was saved as a part of another one: by a tensor that every such network has."""
    bare = expected.removeprefix(prefix)
    if expected in actual or bare in actual:
        return
    if any(".lora_" in name for name in actual):
        raise InvalidRequest(
            "weights_config_mismatch",
            "model.safetensors holds an adapter of PEFT beside the model (lora_...). Merge them, "
            "model.merge_and_unload().save_pretrained(folder), and upload that folder.",
        )
    for name in actual:
        if name.endswith(f".{bare}"):
            wrapper = name.removesuffix(bare).removesuffix(prefix)[:100]
            raise InvalidRequest(
                "weights_config_mismatch",
                f"The names of tensors in model.safetensors begin with {wrapper!r}: more was saved than the "
                f"model. Upload what model.{wrapper}save_pretrained(folder) writes.",
            )


def _refuse_others(expected: Shapes, names: list[str]) -> None:
    extra = [name for name in names if name not in expected]
    if extra:
        raise _mismatch(f"has {_some(extra)}, which config.json does not imply")


def _require_copies(stored: StoredWeights, copies: dict[str, str]) -> None:
    """Networks that are built from the file would take a copy that differs for a matrix of its own."""
    for copy, original in copies.items():
        if copy in stored.shapes and not stored.equal(copy, original):
            raise InvalidRequest(
                "untied_weights",
                f"model.safetensors has different values for {copy} and {original}, which must be tied. "
                "Upload a model with tied embeddings.",
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more tensors" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _mismatch(what: str) -> InvalidRequest:
    return InvalidRequest(
        "weights_config_mismatch",
        f"model.safetensors {what}. Upload the config and the weights of the same model.",
    )
