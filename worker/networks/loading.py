"""From a model folder to a network. The class comes from our table, never from what the folder says."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from app.domain.architectures import (
    FAMILIES,
    Architecture,
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderFamily,
    StaticArchitecture,
    TfidfArchitecture,
)
from app.domain.architectures.heads import head_kind
from app.domain.documents.manifest import Files, ModelManifest
from app.domain.errors import JobError
from app.domain.pooling import LENGTH_CONFIG, MEAN, MODULES
from app.domain.tasks import TASKS, Head, Task
from app.engine.tokenizer_config import (
    TARGET_TOKENIZER,
    TOKENIZER,
    TOKENIZER_CONFIG,
    tokenizer_config,
    truncation_side,
)
from worker.contracts import Teacher
from worker.networks.anatomy import network_class
from worker.networks.bilstm import bilstm_config
from worker.networks.deberta import attend_to_near_distances
from worker.networks.fused import joined_state, part_fused, parted_state
from worker.networks.marian import draw_weights, fix_positions
from worker.networks.pooled import is_pooled, pooling_of, set_pooling
from worker.networks.sentence_folder import (
    file_config,
    load_projection,
    save_modules,
    save_static_modules,
)
from worker.networks.static import StaticEmbedding, static_config
from worker.networks.structure import CONFIG_KEY, describe, restructure, unshared_state
from worker.networks.tfidf import tfidf_config

"""Of a translation model that writes other pieces than it reads."""

_HEAD_KEYS = ("num_labels", "id2label", "label2id", "problem_type", "architectures", "sentence_transformers")
_MODEL_FILES = ("config.json", "model.safetensors", TOKENIZER, TARGET_TOKENIZER)


def load_teacher(
    folder: Path, manifest: ModelManifest, *, task: Task, labels: list[str], dimensions: int | None = None
) -> Teacher:
    """A teacher ready for a task; a model without a head for just these labels gets a fresh one.

    Args:
        folder: of the model.
        manifest: likewise.
        task: what the head is for.
        labels: of its outputs.
        dimensions: of vectors that others than the model say: it gets a fresh head for these; None: its own.
    """
    target_tokenizer = folder / TARGET_TOKENIZER
    digest = _digest(manifest.files)
    if TASKS[task].answers_in_vectors:  # the head is no part of what the weights say
        digest = hashlib.sha256(f"{digest}{manifest.pooling or MEAN}".encode()).hexdigest()
    return Teacher(
        network=load_network(folder, manifest, task=task, labels=labels, dimensions=dimensions),
        tokenizer=load_tokenizer(folder / TOKENIZER),
        tokenizer_config=_load_tokenizer_config(folder / TOKENIZER_CONFIG),
        architecture=manifest.architecture,
        digest=digest,
        target_tokenizer=load_tokenizer(target_tokenizer) if target_tokenizer.exists() else None,
        has_new_head=dimensions is not None or not manifest.has_head_for(task, labels),
    )


def load_network(
    folder: Path, manifest: ModelManifest, *, task: Task, labels: list[str], dimensions: int | None = None
) -> PreTrainedModel:
    """The network in a folder, with a head for a task, in eval mode, fp32.

    Its outputs are in the order of ``labels``, whatever the folder's is. ``dimensions`` are as in
    ``load_teacher``.

    Raises:
        JobError: ``weights_not_finite``, when some weights are no numbers: nothing can be learnt from them.
    """
    network = _loaded(folder, manifest, task=task, labels=labels, dimensions=dimensions)
    broken = [name for name, weights in network.state_dict().items() if not torch.isfinite(weights).all()]
    if broken:
        raise JobError(
            "weights_not_finite",
            f"{len(broken)} tensors of the model have infinite or NaN values, the first is {broken[0]}. Fix "
            "the model and upload it again.",
            tensors=broken[:5],
        )
    return network


def _loaded(
    folder: Path, manifest: ModelManifest, *, task: Task, labels: list[str], dimensions: int | None
) -> PreTrainedModel:
    architecture = manifest.architecture
    head = Head.of(
        task,
        labels=len(labels),
        vocabulary=architecture.vocabulary,
        dimensions=dimensions or manifest.dimensions,
    )
    class_ = network_class(architecture, task)
    config = _config(folder, class_)
    set_pooling(config, manifest.pooling or MEAN)
    config = with_labels(config, head, labels)
    weights = folder / "model.safetensors"
    if TASKS[task].answers_in_vectors:
        network = _with_weights(folder, class_, config, architecture, head, has_own_head=False)
        if dimensions is None and is_pooled(network):
            load_projection(network, folder, manifest.pooling or MEAN)
        return network
    has_own_head = manifest.has_head_for(task, labels)
    network = _with_weights(folder, class_, config, architecture, head, has_own_head=has_own_head)
    return _with_labels_in_order(network, weights, manifest, task, labels)


def _with_weights(
    folder: Path,
    class_: type[PreTrainedModel],
    config: PretrainedConfig,
    architecture: Architecture,
    head: Head,
    *,
    has_own_head: bool,
) -> PreTrainedModel:
    """The network with all that the folder has of it; any other head is drawn anew."""
    if isinstance(architecture, EncoderArchitecture) and describe(architecture) is not None:
        network = build_network(config, architecture, head)
        _fill(network, folder / "model.safetensors", architecture.record, has_own_head=has_own_head)
        return network
    network = class_.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        # A head for other labels has another shape and is drawn anew.
        ignore_mismatched_sizes=not has_own_head,
        torch_dtype=torch.float32,
    )
    fix_positions(network)
    attend_to_near_distances(network)
    if isinstance(architecture, EncoderArchitecture):
        part_fused(network, architecture.record.stack)
    return network.eval()


@torch.no_grad()
def _with_labels_in_order(
    network: PreTrainedModel, weights: Path, manifest: ModelManifest, task: Task, labels: list[str]
) -> PreTrainedModel:
    """The same network, whose outputs are these labels: the stored ones in this order, else drawn anew."""
    name = _output_name(manifest.architecture, task)
    if name is None:
        return network
    output = network.get_submodule(name)
    assert isinstance(output, nn.Linear)
    if manifest.has_head_for(task, labels):
        order = [(manifest.labels or []).index(label) for label in labels]
        output.weight.copy_(output.weight[order])
        output.bias.copy_(output.bias[order])
    elif _holds(weights, f"{name}.weight", output.weight.shape):
        # As many labels as before, but others: what the head knows of those is wrong of these.
        nn.init.normal_(output.weight, std=getattr(network.config, "initializer_range", 0.02))
        nn.init.zeros_(output.bias)
    return network


def _output_name(architecture: Architecture, task: Task) -> str | None:
    """Of the layer that gives a number for each label; None where answers are words."""
    if not TASKS[task].has_labels:
        return None
    if isinstance(architecture, (BiLstmArchitecture, TfidfArchitecture)):
        return architecture.record.head.output
    assert isinstance(architecture, EncoderArchitecture)
    return architecture.record.heads[head_kind(task)].output


def _holds(weights: Path, name: str, shape: torch.Size) -> bool:
    with safe_open(weights, "pt") as file:
        return name in file.keys() and file.get_slice(name).get_shape() == list(shape)  # noqa: SIM118


def save_network(network: PreTrainedModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``; ``load_network`` reads them."""
    is_structured = getattr(network.config, CONFIG_KEY, None) is not None
    # What layers share is unknown to transformers, which would refuse to leave it out by itself.
    state = joined_state(network, unshared_state(network) if is_structured else network.state_dict())
    if isinstance(network, StaticEmbedding):
        save_static_modules(network, folder)
    if is_pooled(network):
        state = save_modules(network, state, folder, is_plain=not is_structured)
    network.save_pretrained(folder, state_dict=state)
    (folder / "generation_config.json").unlink(missing_ok=True)  # says again what config.json says
    _add_known_keys(folder / "config.json")


def _add_known_keys(path: Path) -> None:
    """Say in a config also what the family's first configs say in other keys, for older readers."""
    values = file_config(json.loads(path.read_text()))
    given = {key: value for key, value in values.items() if value is not None}
    known = FAMILIES[values["model_type"]].config.model_validate(given)
    values = known.model_dump(mode="json", exclude_none=True) | values
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def load_tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    return tokenizer


def save_tokenizers(teacher: Teacher, folder: Path, *, max_length: int, token_types: int) -> None:
    """Write how a model on a teacher's tokens reads texts, as this service and transformers read it.

    Args:
        teacher: whose tokenizers they are.
        folder: receives ``tokenizer.json``, ``tokenizer_config.json`` and, if the teacher has it,
            ``target_tokenizer.json``.
        max_length: tokens at which the model's texts are cut.
        token_types: that the model tells apart.
    """
    tokenizers = {TOKENIZER: teacher.tokenizer, TARGET_TOKENIZER: teacher.target_tokenizer}
    for name, tokenizer in tokenizers.items():
        if tokenizer is not None:
            whole = Tokenizer.from_str(tokenizer.to_str())
            whole.enable_truncation(max_length, direction=truncation_side(tokenizer))
            whole.no_padding()
            whole.save(str(folder / name))
    config = tokenizer_config(
        teacher.tokenizer, teacher.tokenizer_config, max_length=max_length, token_types=token_types
    )
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")
    if (folder / MODULES).exists():
        length = {"max_seq_length": max_length, "do_lower_case": False}  # the tokenizer does what there is
        (folder / LENGTH_CONFIG).write_text(json.dumps(length, indent=2), "utf-8")


def build_network(config: PretrainedConfig, architecture: Architecture, head: Head) -> PreTrainedModel:
    """A network of an architecture, randomly initialised from torch's generator.

    Args:
        config: of a network of the same family: all that the architecture does not say. Of a BiLSTM or
            TF-IDF, any.
        architecture: the shape.
        head: what lies on top.
    """
    labels = [config.id2label[i] for i in sorted(config.id2label)]
    if len(labels) != head.outputs:
        labels = [f"LABEL_{i}" for i in range(head.outputs)]
    if isinstance(architecture, BiLstmArchitecture):
        own_config: PretrainedConfig = bilstm_config(architecture, pad_id=config.pad_token_id or 0)
    elif isinstance(architecture, TfidfArchitecture):
        own_config = tfidf_config(architecture, pad_id=config.pad_token_id or 0)
    elif isinstance(architecture, StaticArchitecture):
        own_config = static_config(architecture, config)
    else:
        own_config = _reshaped(config, architecture)
    network = network_class(architecture, head.task)(with_labels(own_config, head, labels))
    attend_to_near_distances(network)
    if isinstance(architecture, EncoderDecoderArchitecture):
        draw_weights(network)
    if isinstance(architecture, EncoderArchitecture):
        part_fused(network, architecture.record.stack)
        if describe(architecture) is not None:
            restructure(network, architecture)
    return network.eval()


def with_labels(config: PretrainedConfig, head: Head, labels: list[str]) -> PretrainedConfig:
    """The config of a network with this head."""
    record = head.record
    if record.has_labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    elif record.outputs in ("number", "span"):
        config.num_labels = head.outputs
    elif record.answers_in_vectors:
        set_pooling(config, pooling_of(config).model_copy(update={"projection": head.outputs}))
    if record.names_problem_type:
        config.problem_type = record.problem_type
    return config


def _reshaped(
    config: PretrainedConfig, architecture: EncoderArchitecture | EncoderDecoderArchitecture
) -> PretrainedConfig:
    values = config.to_dict() | architecture.config_values()
    values.pop(CONFIG_KEY, None)
    return type(config).from_dict(values)


def _fill(network: PreTrainedModel, weights: Path, family: EncoderFamily, *, has_own_head: bool) -> None:
    """Fill a network that ``from_pretrained`` could not build.

    Raises:
        JobError: ``invalid_model``, when the file does not hold just what the network has.
    """
    own, stored = unshared_state(network), parted_state(network, load_file(weights))
    fitting = {name for name in own.keys() & stored.keys() if own[name].shape == stored[name].shape}
    wrong = (own.keys() | stored.keys()) - fitting
    if not has_own_head:  # one for other labels is drawn anew
        wrong = {
            name for name in wrong if name.startswith(f"{family.encoder}.") and not family.is_pooler(name)
        }
    if wrong:
        names = ", ".join(sorted(wrong)[:5])
        raise JobError("invalid_model", f"model.safetensors does not match config.json: {names}.")
    network.load_state_dict({name: stored[name] for name in fitting}, strict=False)


def _load_tokenizer_config(path: Path) -> dict[str, Any]:
    """Empty for models that were stored without one."""
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _digest(files: Files) -> str:
    """Of what decides a teacher's answers; ONNX files may be added to a model later."""
    return Files(
        prefix="", entries={name: files.entries[name] for name in _MODEL_FILES if name in files.entries}
    ).digest


def _config(folder: Path, class_: type[PreTrainedModel]) -> PretrainedConfig:
    values = json.loads((folder / "config.json").read_text())
    config_class = class_.config_class
    assert config_class is not None
    for key in _HEAD_KEYS:
        values.pop(key, None)
    config = config_class.from_dict(values)
    for name, id_ in config.to_dict().items():  # the class's own defaults are of its first vocabulary
        if name.endswith("_token_id") and isinstance(id_, int) and id_ >= config.vocab_size:
            setattr(config, name, None)
    return config
