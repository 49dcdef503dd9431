"""From an uploaded folder to a stored one: validated and sanitised, with known content only."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.domain.documents.manifest import Files, ModelManifest
from app.domain.errors import InvalidRequest
from app.intake.models.json_files import read_object
from app.intake.models.model_config import read_config, refuse_code
from app.intake.models.stored_weights import pickled_weights
from app.intake.models.task import read_task, task_keys
from app.intake.models.tokenizer import TOKENIZER_FILES, lowercases, read_tokenizers
from app.intake.models.weights import check_weights

MODEL_FILES = TOKENIZER_FILES | {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
}
"""Files that are read. Other files of a folder are ignored."""

_GENERATION_KEYS = ("num_beams", "max_length")


def prepare(source: Path, target: Path, *, pickles: Sequence[str]) -> ModelManifest:
    """Fill an empty folder with what is to be stored of a model and describe it.

    Args:
        source: a folder as Hugging Face libraries write it.
        target: receives ``config.json``, ``model.safetensors``, ``tokenizer.json``, ``tokenizer_config.json``
            and, of a translation model that writes other pieces than it reads, ``target_tokenizer.json``.
        pickles: files of the source that start as a pickle does.

    Raises:
        InvalidRequest: this service cannot take the model; the message says what to do.
    """
    config = read_config(_read_config_files(source))
    refuse_code(read_object(source, "tokenizer_config.json", required=False), "tokenizer_config.json")
    _require_weights(source, pickles)
    weights = check_weights(source / "model.safetensors", config)
    task, labels = read_task(config, weights.head)
    tokenizers = read_tokenizers(source, config, task)

    kept = config.kept | task_keys(config.architecture, task, labels)
    (target / "config.json").write_text(json.dumps(kept, indent=2, ensure_ascii=False), "utf-8")
    for name, text in tokenizers.files.items():
        (target / name).write_text(text, "utf-8")
    shutil.move(source / "model.safetensors", target)  # Landlock's first version renames within a folder only
    return ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=config.architecture,
        task=task,
        labels=labels,
        parameters=weights.parameters,
        lowercase=lowercases(tokenizers.files["tokenizer.json"]),
        max_length=tokenizers.max_length,
    )


def _read_config_files(source: Path) -> dict[str, Any]:
    """``config.json``, and how to generate where only ``generation_config.json`` says it."""
    generation = read_object(source, "generation_config.json", required=False)
    config = read_object(source, "config.json")
    refuse_code(generation, "generation_config.json")
    return config | {key: generation.get(key) for key in _GENERATION_KEYS if config.get(key) is None}


def _require_weights(source: Path, pickles: Sequence[str]) -> None:
    if (source / "model.safetensors").is_file():
        return
    if (source / "model.safetensors.index.json").is_file():
        raise InvalidRequest(
            "sharded_weights",
            "The weights are sharded over several files. Save them as one file: "
            "model.save_pretrained(folder, max_shard_size='100GB').",
        )
    if pickles:
        raise pickled_weights(pickles[0])
    raise InvalidRequest(
        "missing_weights",
        "The folder has no model.safetensors. Save the model with "
        "model.save_pretrained(folder) and upload that folder.",
    )
