"""Which teacher weights each student weight is generated from, and with which maps.

Shapes: D, F, k are the teacher's width, ffn and head width; d, f, j the student's; h heads that are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from app.domain.architectures import EncoderShape
from worker.methods.weight_distillation.generator import GeneratedWeight, LayerMix
from worker.networks.anatomy import Stack
from worker.transfer.selection import Selection

Side = Literal["residual", "read", "context", "cross", "neurons"]
"""What the rows or columns of a matrix stand for; ``read`` is the residual stream of the encoder."""

_SIDES: dict[str, tuple[Side, Side]] = {
    "query": ("context", "residual"),
    "key": ("context", "residual"),
    "value": ("context", "residual"),
    "attention_output": ("residual", "context"),
    "ffn_in": ("neurons", "residual"),
    "ffn_out": ("residual", "neurons"),
    "cross_query": ("cross", "residual"),
    "cross_key": ("cross", "read"),
    "cross_value": ("cross", "read"),
    "cross_output": ("residual", "cross"),
}
_NORMS = ("attention_norm", "ffn_norm", "cross_norm")


@dataclass(frozen=True)
class StackPair:
    """The layers of a teacher, and those of a student made of them, whose depth divides the teacher's."""

    stack: Stack
    teacher: EncoderShape
    student: EncoderShape
    selection: Selection
    """Of the last layer of each group: what the student starts from."""

    def __post_init__(self) -> None:
        if self.teacher.layers % self.student.layers:
            raise ValueError(f"{self.student.layers} layers do not divide {self.teacher.layers}")

    @property
    def is_kept(self) -> bool:
        """Whether nothing is made smaller."""
        return self.teacher == self.student

    @property
    def group_size(self) -> int:
        return self.teacher.layers // self.student.layers

    @property
    def matrices(self) -> list[str]:
        return [role for role in _SIDES if getattr(self.stack.layer, role)]

    @property
    def norms(self) -> list[str]:
        return [role for role in _NORMS if getattr(self.stack.layer, role)]

    def group(self, network: nn.Module, layer: int, part: str) -> Tensor:
        """A parameter of the adjacent teacher layers that a student layer is made of, (l, ...)."""
        role, parameter = part.split(".")
        first = layer * self.group_size
        names = [
            f"{self.stack.part_name(index, role)}.{parameter}"
            for index in range(first, first + self.group_size)
        ]
        return torch.stack([network.get_parameter(name).detach() for name in names])

    def parts(self, roles: list[str]) -> Iterator[tuple[int, str, str]]:
        """Layer, role and name of the module of each role."""
        for layer in range(self.student.layers):
            for role in roles:
                yield layer, role, self.stack.part_name(layer, role)


class SelectingMaps:
    """Maps that begin by taking what a selection takes; those of a residual stream are one and the same."""

    def __init__(self, pair: StackPair, *, read: nn.Parameter | None) -> None:
        """Make the maps of one stack.

        Args:
            pair: whose maps.
            read: the encoder's residual map, for a decoder; None where the encoder keeps its width.
        """
        self._pair = pair
        self._read = read
        self.residual = None
        if pair.teacher.hidden != pair.student.hidden:
            self.residual = nn.Parameter(_one_hot(pair.selection.residual, pair.teacher.hidden))  # (D, d)

    def generator(self, network: nn.Module, layer: int, role: str, start: Tensor) -> GeneratedWeight:
        """Of one matrix, which begins as ``start``."""
        group = self._pair.group(network, layer, f"{role}.weight")
        if self._pair.is_kept:
            return GeneratedWeight(group, start=start)
        rows, columns = _SIDES[role]
        return GeneratedWeight(
            self._kept(self._kept(group, rows, layer, dim=1), columns, layer, dim=2),
            mix=_last_layer(self._pair.group_size, like=start),
            rows=self._map(rows, layer),
            columns=self._map(columns, layer),
            start=start,
            is_rated=True,
        )

    def _kept(self, group: Tensor, side: Side, layer: int, *, dim: int) -> Tensor:
        """The group with the heads that are kept; anything else is left to the maps."""
        heads = self._heads(side, layer)
        if heads is None:
            return group
        width = self._pair.teacher.head_dim
        flat = (heads[:, None] * width + torch.arange(width, device=heads.device)).flatten()
        return group.index_select(dim, flat)

    def _heads(self, side: Side, layer: int) -> Tensor | None:
        match side:
            case "context":
                return self._pair.selection.heads[layer]
            case "cross":
                return self._pair.selection.cross_heads[layer]
            case _:
                return None

    def _map(self, side: Side, layer: int) -> nn.Parameter | None:
        selection = self._pair.selection
        match side:
            case "residual":
                return self.residual
            case "read":
                return self._read
            case "neurons":
                return nn.Parameter(_one_hot(selection.neurons[layer], self._pair.teacher.ffn))  # (F, f)
            case "context":
                dims = selection.head_dims[layer]
            case "cross":
                dims = selection.cross_head_dims[layer]
        width = self._pair.teacher.head_dim
        return nn.Parameter(torch.stack([_one_hot(kept, width) for kept in dims]))  # (h, k, j)


def random_generator(group: Tensor, shape: torch.Size, *, mixes: bool) -> GeneratedWeight:
    """As in the paper's code: maps from Xavier's normal distribution, S = 1 and B = 0.

    Args:
        group: T, (l, n, m) or (l, n).
        shape: of the student's weight.
        mixes: False for what is kept, which has neither maps nor coefficients.
    """
    if not mixes:
        return GeneratedWeight(group)
    mixer, weights = group.new_empty(len(group), len(group)), group.new_full((len(group),), 1 / len(group))
    maps = [
        nn.Parameter(nn.init.xavier_normal_(group.new_empty(before, after)))
        for before, after in zip(group.shape[1:], shape, strict=True)
    ]
    return GeneratedWeight(
        group,
        mix=LayerMix(nn.init.xavier_normal_(mixer), weights),
        rows=maps[0],
        columns=maps[1] if len(maps) > 1 else None,
    )


def random_table(table: Tensor, width: int) -> GeneratedWeight:
    """E_s = S ⊙ tanh(E_t W) + B, where W is there only if the width changes."""
    if table.shape[1] == width:
        return GeneratedWeight(table[None])
    columns = nn.Parameter(nn.init.xavier_normal_(table.new_empty(table.shape[1], width)))
    return GeneratedWeight(table[None], columns=columns)


def _last_layer(size: int, *, like: Tensor) -> LayerMix | None:
    """Coefficients that begin at the last layer of a group alone."""
    if size == 1:
        return None
    weights = torch.zeros(size, device=like.device)
    weights[-1] = 1
    return LayerMix(torch.eye(size, device=like.device), weights)


def _one_hot(indices: Tensor, length: int) -> Tensor:
    """(length, kept): each column takes one index."""
    return nn.functional.one_hot(indices, length).T.float().contiguous()
