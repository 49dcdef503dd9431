"""From a stranger's folder to one of ours: checked, sanitised, nothing in it that was not understood."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.core.errors import InvalidRequest, TooLarge
from app.core.manifest import Files, ModelManifest
from app.registry.encoder_config import SINGLE_LABEL, EncoderConfig, read_config, refuse_code
from app.registry.tokenizer import lowercases, read_tokenizer
from app.registry.weights import WeightsReport, check_weights, pickled_weights

MODEL_FILES = frozenset(
    {
        "config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
)
"""All that is looked at. What a folder holds besides is left behind, unopened."""

_MAX_JSON_BYTES = 2**20
_MAX_TOKENIZER_BYTES = 64 * 2**20
_MIN_CLASSES = 2


def prepare(source: Path, target: Path, *, pickles: Sequence[str]) -> ModelManifest:
    """Fill an empty folder with what is to be stored of a model and describe it.

    Args:
        source: a folder as Hugging Face libraries write it.
        target: receives ``config.json``, ``model.safetensors`` and ``tokenizer.json``.
        pickles: files of the source that start as a pickle does.

    Raises:
        InvalidRequest: this service cannot take the model; the message says what to do.
    """
    config = read_config(_read_json(source, "config.json"))
    tokenizer_config = _read_json(source, "tokenizer_config.json", required=False)
    refuse_code(tokenizer_config, "tokenizer_config.json")
    _require_weights(source, pickles)
    weights = check_weights(source / "model.safetensors", config.card)
    labels = _task_labels(config, weights)
    for name in ("tokenizer.json", "vocab.txt"):
        _require_short(source / name, _MAX_TOKENIZER_BYTES)
    do_lower_case = tokenizer_config.get("do_lower_case")
    tokenizer = read_tokenizer(source, config.card, lowercase=do_lower_case is not False)

    kept = config.kept | _label_maps(labels)
    (target / "config.json").write_text(json.dumps(kept, indent=2, ensure_ascii=False), "utf-8")
    (target / "tokenizer.json").write_text(tokenizer, "utf-8")
    (source / "model.safetensors").rename(target / "model.safetensors")
    return ModelManifest(
        files=Files(prefix="", entries={}),
        card=config.card,
        task="text_classification" if labels else None,
        labels=labels,
        parameters=weights.parameters,
        lowercase=lowercases(tokenizer),
        max_length=config.max_length,
    )


def _require_weights(source: Path, pickles: Sequence[str]) -> None:
    if (source / "model.safetensors").is_file():
        return
    if (source / "model.safetensors.index.json").is_file():
        raise InvalidRequest(
            "sharded_weights",
            "The weights are split over several files. Save them as one: "
            "model.save_pretrained(folder, max_shard_size='100GB').",
        )
    if pickles:
        raise pickled_weights(pickles[0])
    raise InvalidRequest(
        "missing_weights",
        "The folder has no model.safetensors. Save the model with "
        "model.save_pretrained(folder) and upload that folder.",
    )


def _task_labels(config: EncoderConfig, weights: WeightsReport) -> list[str] | None:
    """The classifier's labels; None for an encoder without a classifier."""
    if weights.classes is None:
        return None
    if weights.classes < _MIN_CLASSES:
        raise InvalidRequest(
            "unsupported_head",
            "The classifier has a single output, as a regression or a reranker has; this service takes "
            "classifiers of two or more labels. Upload the encoder without the head.",
        )
    if config.problem_type != SINGLE_LABEL:
        raise InvalidRequest(
            "unsupported_head",
            f"config.json has problem_type {config.problem_type[:50]!r}; this service takes classifiers that "
            "choose one label. Upload the encoder without the head.",
        )
    labels = config.labels or [f"LABEL_{index}" for index in range(weights.classes)]
    if len(labels) != weights.classes:
        raise InvalidRequest(
            "weights_do_not_fit_config",
            f"config.json names {len(labels)} labels, but the classifier has {weights.classes} outputs. "
            "Write id2label with a name for each output.",
        )
    return labels


def _label_maps(labels: list[str] | None) -> dict[str, Any]:
    if labels is None:
        return {}
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _read_json(folder: Path, name: str, *, required: bool = True) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        if not required:
            return {}
        raise InvalidRequest(
            "missing_config",
            f"There is no {name}. Upload the whole folder that save_pretrained() wrote: "
            "config.json, model.safetensors and tokenizer.json.",
        )
    _require_short(path, _MAX_JSON_BYTES)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            "invalid_config", f"{name} is not JSON ({error}). Upload the original."
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequest("invalid_config", f"{name} is not a JSON object. Upload the original.")
    return value


def _require_short(path: Path, limit: int) -> None:
    if path.is_file() and path.stat().st_size > limit:
        raise TooLarge(
            "file_too_large", f"{path.name} is longer than {limit:,} bytes, as none of a model is."
        )
