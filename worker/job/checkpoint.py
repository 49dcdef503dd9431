"""One file for the state of an interrupted job: tensors as safetensors, the rest as JSON in its header.

No pickle: a checkpoint is only data. One file, renamed into place: it is whole or it is not there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_TREE = "tree"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a tree of tensors, numbers, strings, None, lists and mappings, replacing what was there."""
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_encode(state, tensors))
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={_TREE: tree})
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The tree as it was saved, tensors on the CPU; None where there is none that can be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            tree = json.loads(file.metadata()[_TREE])
    except SafetensorError:
        return None  # cut short by a crash of the machine: the job starts over
    state: dict[str, Any] = _decode(tree, tensors)
    return state


def _encode(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The node as JSON; tensors are put aside under a number."""
    if isinstance(node, torch.Tensor):
        name = str(len(tensors))
        # A copy, because safetensors refuses tensors that share memory.
        tensors[name] = node.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(node, Mapping):
        # Pairs, because JSON would turn the numbers that optimisers use as keys into strings.
        return {"items": [[key, _encode(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return [_encode(value, tensors) for value in node]
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(
        f"a checkpoint holds tensors, numbers, strings, lists and mappings; got {type(node).__name__}"
    )


def _decode(node: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(node, list):
        return [_decode(value, tensors) for value in node]
    if isinstance(node, dict):
        if "tensor" in node:
            return tensors[node["tensor"]]
        return {key: _decode(value, tensors) for key, value in node["items"]}
    return node
