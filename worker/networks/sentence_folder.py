"""The folder of a network that answers with vectors, as sentence-transformers reads and writes it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.domain.pooling import MODULES, PROJECTION_WEIGHTS, Pooling, module_files, module_list
from worker.networks.pooled import CLASS_SUFFIX, CONFIG_KEY, pooling_of, set_identity

_PREFIX = "projection."
_FILE_PREFIX = "linear."
"""Of a projection's tensors in its own file."""


def save_modules(
    network: PreTrainedModel, state: Mapping[str, Tensor], folder: Path, *, is_plain: bool
) -> dict[str, Tensor]:
    """Write what says how states become vectors, and the projection.

    Args:
        network: a pooled one.
        state: of it, under the names of files.
        folder: receives ``modules.json`` and a folder for each module.
        is_plain: whether others than this service can read the network; a module of another name tells them.

    Returns:
        What of the state is the encoder's.
    """
    files = module_files(
        pooling_of(network.config),
        width=network.config.hidden_size,
        network="Transformer" if is_plain else "SqueezeTransformer",
    )
    write_modules(files, folder)
    own = {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
    named = {f"{_FILE_PREFIX}{name}": value.contiguous() for name, value in own.items()}
    save_file(named, folder / PROJECTION_WEIGHTS, metadata={"format": "pt"})
    return {name: value for name, value in state.items() if not name.startswith(_PREFIX)}


def save_static_modules(network: PreTrainedModel, folder: Path) -> None:
    """Write what says that a folder holds a table of vectors, and whether they are brought to length 1."""
    kinds = [("", "StaticEmbedding")]
    if pooling_of(network.config).normalize:
        kinds.append(("1_Normalize", "Normalize"))
    write_modules({MODULES: module_list(kinds)}, folder)


def write_modules(files: Mapping[str, Any], folder: Path) -> None:
    """Write JSON files into a folder and those in it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


@torch.no_grad()
def load_projection(network: PreTrainedModel, folder: Path, pooling: Pooling) -> None:
    """Set a network's projection: to the folder's, or the identity where it has none."""
    projection = network.get_submodule("projection")
    assert isinstance(projection, nn.Linear)
    if pooling.projection is None:
        set_identity(projection)
        return
    stored = load_file(folder / PROJECTION_WEIGHTS)
    projection.weight.copy_(stored[f"{_FILE_PREFIX}weight"])
    bias = stored.get(f"{_FILE_PREFIX}bias")
    projection.bias.zero_() if bias is None else projection.bias.copy_(bias)


def file_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """A network's config without what the folder's modules say, and of the class below them."""
    if CONFIG_KEY not in values:
        return dict(values)
    kept = {key: value for key, value in values.items() if key != CONFIG_KEY}
    return kept | {"architectures": [name.replace(CLASS_SUFFIX, "Model") for name in kept["architectures"]]}
