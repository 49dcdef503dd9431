"""From a model folder to a network. The class comes from our table, never from what the folder says."""

import json
from operator import attrgetter
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedModel

from app.core.manifest import Files, ModelManifest
from app.core.shapes import EncoderDecoderCard, ModelCard
from app.core.tasks import LABELLED_TASKS, Head, Task
from worker.contracts import Teacher
from worker.modeling.anatomy import ANATOMIES, MARIAN, network_class

TOKENIZER = "tokenizer.json"
TARGET_TOKENIZER = "target_tokenizer.json"
"""Of a translation model that writes other pieces than it reads."""

_MODEL_FILES = ("config.json", "model.safetensors", TOKENIZER, TARGET_TOKENIZER)


def load_teacher(folder: Path, manifest: ModelManifest, *, task: Task, labels: list[str]) -> Teacher:
    """A teacher ready for a task; a model without a head for just these labels gets a fresh one."""
    target_tokenizer = folder / TARGET_TOKENIZER
    return Teacher(
        network=load_network(folder, manifest, task=task, labels=labels),
        tokenizer=load_tokenizer(folder / TOKENIZER),
        card=manifest.card,
        digest=_digest(manifest.files),
        target_tokenizer=load_tokenizer(target_tokenizer) if target_tokenizer.exists() else None,
    )


def load_network(folder: Path, manifest: ModelManifest, *, task: Task, labels: list[str]) -> PreTrainedModel:
    """The network in a folder, with a head for a task, in eval mode, fp32."""
    card = manifest.card
    head = Head.of(task, labels=len(labels), vocabulary=card.vocabulary)
    class_ = network_class(card, task)
    config = with_labels(_config(folder, class_), head, labels)
    network = class_.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        # A head for other labels has another shape and is drawn anew.
        ignore_mismatched_sizes=manifest.task != task or manifest.labels != (labels or None),
        torch_dtype=torch.float32,
    )
    return network.eval()


def load_tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    return tokenizer


def build_network(config: PretrainedConfig, card: ModelCard, head: Head) -> PreTrainedModel:
    """A network of a card, randomly initialised from torch's generator.

    Args:
        config: of a network of the same family: all that the card does not say.
        card: the shape.
        head: what lies on top.
    """
    anatomy = MARIAN if isinstance(card, EncoderDecoderCard) else ANATOMIES[card.architecture]
    values = config.to_dict() | {
        field: attrgetter(name)(card.shape) for name, field in anatomy.shape_fields.items()
    }
    values["vocab_size"] = card.vocabulary
    if isinstance(card, EncoderDecoderCard):
        values["decoder_vocab_size"] = card.vocabulary
    labels = [config.id2label[i] for i in sorted(config.id2label)]
    if len(labels) != head.outputs:
        labels = [f"LABEL_{i}" for i in range(head.outputs)]
    config = with_labels(type(config).from_dict(values), head, labels)
    return network_class(card, head.task)(config).eval()


def with_labels(config: PretrainedConfig, head: Head, labels: list[str]) -> PretrainedConfig:
    """The config of a network with this head."""
    if head.task in LABELLED_TASKS:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    elif head.task == "text_regression":
        config.num_labels = 1
        config.problem_type = "regression"
    return config


def _digest(files: Files) -> str:
    """Of what decides a teacher's answers; ONNX files may be added to a model later."""
    return Files(
        prefix="", entries={name: files.entries[name] for name in _MODEL_FILES if name in files.entries}
    ).digest


def _config(folder: Path, class_: type[PreTrainedModel]) -> PretrainedConfig:
    values = json.loads((folder / "config.json").read_text())
    config_class = class_.config_class
    assert config_class is not None
    for key in ("num_labels", "id2label", "label2id", "problem_type", "architectures"):
        values.pop(key, None)
    return config_class.from_dict(values)
