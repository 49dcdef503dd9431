"""Which indices of a teacher go, and when: groups that share one choice, and the schedule of giving up."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """Indices are given up in portions, one where each interval but the first begins."""

    steps: int
    """At this one the network has its planned size."""
    selections: int
    """Portions, at most; no more than there are steps for."""

    @property
    def portions(self) -> int:
        return min(self.selections, self.steps)

    def interval(self, step: int) -> int:
        """In which interval, from 0, a step is; the last one never ends."""
        return min(step * self.portions // self.steps, self.portions)

    def share(self, interval: int) -> float:
        """How much of what is to go is gone in an interval."""
        return interval / self.portions


class IndexGroup:
    """Indices that rows and columns of several matrices share, so that all lose the same ones.

    They lie in blocks of equal size (heads); each block loses equally many, or blocks go as wholes.
    """

    def __init__(
        self, size: int, target: int, *, unit: int = 1, blocks: int = 1, whole: bool = False
    ) -> None:
        """Begin with all of them.

        Args:
            size: how many there are.
            target: how many are to stay.
            unit: how many go at a time; divides what is to go.
            blocks: how many blocks they lie in; each loses equally many.
            whole: whether, instead, blocks go as wholes; then ``unit`` is the size of one.
        """
        self.size, self.target = size, target
        self._unit, self._blocks, self._whole = unit, blocks, whole
        self.kept = torch.ones(size, dtype=torch.bool)
        self.scores = torch.zeros(size)

    def to(self, device: torch.device) -> "IndexGroup":
        self.kept, self.scores = self.kept.to(device), self.scores.to(device)
        return self

    def count(self, share: float) -> int:
        """How many stay when a share of what is to go is gone."""
        return self.size - round((self.size - self.target) / self._unit * share) * self._unit

    def give_up(self, share: float) -> None:
        """Give up what scores lowest, until so much of what is to go is gone."""
        scores = self.scores.masked_fill(~self.kept, -torch.inf).view(self._blocks, -1)
        kept = torch.zeros_like(scores, dtype=torch.bool)
        count = self.count(share)
        if self._whole:
            kept[scores.sum(1).topk(count // self._unit).indices] = True
        else:
            kept.scatter_(1, scores.topk(count // self._blocks, dim=1).indices, True)
        self.kept.copy_(kept.flatten())

    def add_scores(self, kept: Tensor, effects: Tensor) -> None:
        """Remember what scaling each kept index would have done to the loss.

        Its square is the index's first-order importance (Molchanov et al., 2019).

        Args:
            kept: ``indices()``, which a device counts only when it is waited for.
            effects: (kept,), signed.
        """
        if self._whole:
            width = self.size // self._blocks
            effects = effects.view(-1, width).sum(1, keepdim=True).expand(-1, width).flatten()
        self.scores.index_add_(0, kept, effects.square())

    def indices(self) -> Tensor:
        """Of those kept, in order."""
        return self.kept.nonzero().flatten()

    def tensors(self) -> Mapping[str, Tensor]:
        return {"kept": self.kept, "scores": self.scores}
