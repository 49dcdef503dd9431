"""From a model folder to a network. The class comes from our table, never from what the folder says."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedModel

from app.core.manifest import Files, ModelManifest
from app.core.shapes import EncoderCard, Shape
from worker.contracts import Teacher
from worker.modeling.anatomy import ANATOMIES

_MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def load_teacher(folder: Path, manifest: ModelManifest, *, labels: list[str]) -> Teacher:
    """A teacher ready to predict ``labels``; a model without a head for just these gets a fresh one."""
    return Teacher(
        network=load_network(folder, manifest, labels=labels),
        tokenizer=load_tokenizer(folder),
        card=manifest.card,
        digest=_digest(manifest.files),
    )


def load_network(folder: Path, manifest: ModelManifest, *, labels: list[str]) -> PreTrainedModel:
    """The classifier in a folder, in eval mode, fp32."""
    anatomy = ANATOMIES[manifest.card.architecture]
    config = _config(folder, manifest.card, labels)
    network = anatomy.network.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        # A head for other labels has another shape and is drawn anew.
        ignore_mismatched_sizes=manifest.labels != labels,
        torch_dtype=torch.float32,
    )
    return network.eval()


def load_tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


def build_network(teacher: PreTrainedModel, card: EncoderCard, shape: Shape) -> PreTrainedModel:
    """A network of the teacher's family at another shape, randomly initialised from torch's generator."""
    anatomy = ANATOMIES[card.architecture]
    values = teacher.config.to_dict() | {
        field: getattr(shape, name) for name, field in anatomy.shape_fields.items()
    }
    config = type(teacher.config).from_dict(values)
    return anatomy.network(config).eval()


def _digest(files: Files) -> str:
    """Of what decides a teacher's answers; ONNX files may be added to a model later."""
    return Files(prefix="", entries={name: files.entries[name] for name in _MODEL_FILES}).digest


def _config(folder: Path, card: EncoderCard, labels: list[str]) -> PretrainedConfig:
    anatomy = ANATOMIES[card.architecture]
    values = json.loads((folder / "config.json").read_text())
    config_class = anatomy.network.config_class
    assert config_class is not None
    values["id2label"] = dict(enumerate(labels))
    values["label2id"] = {label: index for index, label in enumerate(labels)}
    values.pop("num_labels", None)
    values.pop("architectures", None)
    return config_class.from_dict(values)
