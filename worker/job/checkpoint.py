"""The state of an interrupted job: tensors as safetensors, the rest as JSON in its header.

No pickle: a checkpoint is only data. One file, renamed into place: it is whole or it is not there. What the
disk did to it later is noticed by sums over the tensors.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from worker.runner.protocol import checkpoint_path, checkpointed_steps

logger = logging.getLogger(__name__)

_KEPT = 2
_TREE = "tree"
_NOTE = "note"


class Checkpoints:
    """The last checkpoints of a job in a folder, each named after its training step."""

    def __init__(self, folder: Path, *, note: Path | None = None) -> None:
        """Open a folder, which need not exist yet.

        Args:
            folder: holds the files.
            note: a small text file that goes with them, if there is one by then: what the job has decided
                before its training, and must decide alike when it goes on elsewhere.
        """
        self.folder = folder
        self._note = note

    def path(self, step: int) -> Path:
        return checkpoint_path(self.folder, step)

    def steps(self) -> list[int]:
        """Of those that there are, in order."""
        return checkpointed_steps(self.folder)

    def save(self, state: Mapping[str, Any], *, step: int) -> None:
        """Keep a tree of tensors, numbers, strings, None, lists and mappings; older ones go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note = self._note.read_text() if self._note is not None and self._note.exists() else None
        save_checkpoint(self.path(step), state, note=note)
        for older in self.steps()[:-_KEPT]:
            self.path(older).unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The latest tree that can be read, tensors on the CPU; those that cannot be read are removed."""
        for step in reversed(self.steps()):
            state = load_checkpoint(self.path(step))
            if state is not None:
                return state
            logger.warning("the checkpoint of step %d cannot be read", step)
            self.path(step).unlink(missing_ok=True)
        return None

    def remove_damaged(self) -> None:
        """Leave one that can be read as the latest."""
        self.load()

    def restore_note(self) -> None:
        """Write the note of the latest checkpoint, where it is missing."""
        steps = self.steps()
        if not steps or self._note is None or self._note.exists():
            return
        with safe_open(self.path(steps[-1]), framework="pt") as file:
            note = file.metadata().get(_NOTE)
        if note is not None:
            self._note.write_text(note)


def save_checkpoint(path: Path, state: Mapping[str, Any], *, note: str | None = None) -> None:
    """Write a tree, replacing what was there."""
    tensors: dict[str, torch.Tensor] = {}
    metadata = {_TREE: json.dumps(_encode(state, tensors))}
    if note is not None:
        metadata[_NOTE] = note
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The tree as it was saved, tensors on the CPU; None where there is none that can be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            tree = json.loads(file.metadata()[_TREE])
        state: dict[str, Any] = _decode(tree, tensors)
    except (SafetensorError, ValueError, LookupError, TypeError):
        return None  # cut short by a crash of the machine, or damaged later
    return state


def _encode(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The node as JSON; tensors are put aside under a number."""
    if isinstance(node, torch.Tensor):
        name = str(len(tensors))
        # A copy, because safetensors refuses tensors that share memory.
        tensors[name] = node.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name, "sum": _sum(tensors[name])}
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
    """Raises ``ValueError`` where a tensor is not as it was written."""
    if isinstance(node, list):
        return [_decode(value, tensors) for value in node]
    if isinstance(node, dict):
        if "tensor" in node:
            tensor = tensors[node["tensor"]]
            if _sum(tensor) != node["sum"]:
                raise ValueError(f"tensor {node['tensor']} is damaged")
            return tensor
        return {key: _decode(value, tensors) for key, value in node["items"]}
    return node


def _sum(tensor: torch.Tensor) -> int:
    """Of its bytes as 64-bit words, as fast as memory: a digest would take seconds of each large training."""
    data = tensor.reshape(-1).view(torch.uint8).numpy()
    words = len(data) // 8 * 8
    return int(data[:words].view(np.uint64).sum(dtype=np.uint64)) + int(data[words:].sum(dtype=np.uint64))
