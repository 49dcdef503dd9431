"""From an uploaded folder to a stored one: validated and sanitised, with known content only."""

import json
import shutil
from pathlib import Path
from typing import Any

from app.domain.documents.manifest import Files, ModelManifest
from app.domain.pooling import LENGTH_CONFIG, PROJECTION_WEIGHTS, module_files
from app.engine.tokenizer_config import TOKENIZER, TOKENIZER_CONFIG
from app.intake.models.archives import NOTHING, LeftOut
from app.intake.models.json_files import read_object
from app.intake.models.layouts import Layout, find_model
from app.intake.models.missing_weights import require_contents, require_weights
from app.intake.models.model_config import read_config, refuse_code
from app.intake.models.model_files import CONFIG, WEIGHTS
from app.intake.models.old_configs import family_of
from app.intake.models.sentence_modules import SentenceModules, read_modules
from app.intake.models.stored_weights import tensor_names
from app.intake.models.task import embedding_purpose, read_task, task_keys
from app.intake.models.tokenizer import lowercases, read_tokenizers
from app.intake.models.weights import check_weights

_GENERATION_KEYS = ("num_beams", "max_length")


def prepare(
    upload: Path, target: Path, *, left_out: LeftOut = NOTHING, labels: list[str] | None = None
) -> ModelManifest:
    """Fill an empty folder with what is to be stored of a model and describe it.

    Args:
        upload: a folder that has one as Hugging Face libraries write it, or is one.
        target: receives ``config.json``, ``model.safetensors``, ``tokenizer.json``, ``tokenizer_config.json``
            and, of a translation model that writes other pieces than it reads, ``target_tokenizer.json``.
        left_out: files of the upload that are not in the folder.
        labels: names of the head's outputs in their order; None: those of its config.

    Raises:
        InvalidRequest: this service cannot take the model; the message says what to do.
    """
    require_contents(upload)
    layout = find_model(upload, left_out)
    source, notes = layout.folder, list(layout.notes)
    raw = _read_config_files(layout)
    tokenizer_settings = read_object(layout.tokenizer, TOKENIZER_CONFIG, required=False)
    refuse_code(tokenizer_settings, TOKENIZER_CONFIG)
    require_weights(source, left_out)
    if not raw.get("model_type"):
        named = tokenizer_settings.get("tokenizer_class") or raw.get("tokenizer_class")
        raw["model_type"] = family_of(raw, tensor_names(source / WEIGHTS), layout.tokenizer, named)
        notes.append(f"{layout.config} has no model_type: by its weights the model is {raw['model_type']}.")
    config = read_config(raw)
    weights = check_weights(source / WEIGHTS, config)
    modules = None
    if layout.modules is not None:
        modules = read_modules(layout.modules, source, width=config.architecture.width)
    # A head that was learnt says more of a model than how its states would be pooled.
    has_head = weights.head is not None and weights.head.kind != "word"
    if modules is None or has_head:
        purpose = read_task(config, weights.head, labels)
    else:
        purpose = embedding_purpose(labels)
    tokenizers = read_tokenizers(
        layout.tokenizer,
        config,
        purpose.task,
        max_length=None if modules is None else modules.max_length,
        lowercases=modules is not None and modules.lowercases,
    )
    if modules is not None:
        _write_modules(modules, target, width=config.architecture.width, max_length=tokenizers.max_length)
    notes += purpose.notes

    keys = config.kept | task_keys(config.architecture, purpose)
    kept = {key: value for key, value in keys.items() if value is not None}
    (target / CONFIG).write_text(json.dumps(kept, indent=2, ensure_ascii=False), "utf-8")
    for name, text in tokenizers.files.items():
        (target / name).write_text(text, "utf-8")
    shutil.move(source / WEIGHTS, target)  # Landlock's first version renames within a folder only
    return ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=config.architecture,
        task=purpose.task,
        labels=purpose.labels,
        activation=purpose.activation,
        pooling=None if modules is None else modules.pooling,
        parameters=weights.parameters + (0 if modules is None else modules.parameters),
        lowercase=lowercases(tokenizers.files[TOKENIZER]),
        max_length=tokenizers.max_length,
        notes=notes,
    )


def _write_modules(modules: SentenceModules, target: Path, *, width: int, max_length: int) -> None:
    """Have the stored folder opened by sentence-transformers as the upload is."""
    length = {"max_seq_length": max_length, "do_lower_case": False}  # the tokenizer does what there is
    for name, content in (module_files(modules.pooling, width=width) | {LENGTH_CONFIG: length}).items():
        path = target / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    if modules.projection is not None:
        shutil.copyfile(modules.projection, target / PROJECTION_WEIGHTS)


def _read_config_files(layout: Layout) -> dict[str, Any]:
    """``config.json``, and how to generate where only ``generation_config.json`` says it."""
    generation = read_object(layout.folder, "generation_config.json", required=False)
    config = read_object(layout.folder, layout.config)
    refuse_code(config, layout.config)  # before anything else of it is believed
    refuse_code(generation, "generation_config.json")
    return config | {key: generation.get(key) for key in _GENERATION_KEYS if config.get(key) is None}
