"""Which indices of a teacher go, and when: groups that share one choice, and the schedule of giving up."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.methods.weight_inherited.compactors import Presence

LAST_LEVEL = 1e-3
"""What is left of an index at the end of its interval, after which it is taken out."""


@dataclass(frozen=True)
class Schedule:
    """Indices are given up in portions, each over an interval; in the first interval none is."""

    steps: int
    """At this one the network has its planned size."""
    selections: int
    """Portions, at most; no more than there are steps for."""

    @property
    def last(self) -> int:
        """The interval that never ends, in which nothing is given up any more."""
        return self.portions + 1

    @property
    def portions(self) -> int:
        return max(0, min(self.selections, self.steps - 1))

    def interval(self, step: int) -> int:
        """In which interval, from 0, a step is."""
        return self.last if step >= self.steps else step * self.last // self.steps

    def share(self, interval: int) -> float:
        """How much of what is to go has been chosen to."""
        return 1.0 if interval >= self.portions else interval / self.portions

    def level(self, step: int) -> float:
        """Of an index that was chosen to go in this step's interval: falls by the same factor each step."""
        begin = -(-self.interval(step) * self.steps // self.last)
        return float(LAST_LEVEL ** ((step - begin + 1) * self.last / self.steps))


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
        self.present = self.kept.clone()
        self.scores = torch.zeros(size)

    @property
    def fades(self) -> bool:
        """Whether some of them are being given up."""
        return bool((self.present & ~self.kept).any())

    def to(self, device: torch.device) -> "IndexGroup":
        self.kept, self.present, self.scores = (
            values.to(device) for values in (self.kept, self.present, self.scores)
        )
        return self

    def count(self, share: float) -> int:
        """How many stay when a share of what is to go has been chosen to."""
        return self.size - round((self.size - self.target) / self._unit * share) * self._unit

    def give_up(self, share: float) -> None:
        """Take out what was chosen before, and choose what goes next: what scores lowest."""
        self.conclude()
        scores = self.scores.masked_fill(~self.kept, -torch.inf).view(self._blocks, -1)
        kept = torch.zeros_like(scores, dtype=torch.bool)
        count = self.count(share)
        if self._whole:
            kept[scores.sum(1).topk(count // self._unit).indices] = True
        else:
            kept.scatter_(1, scores.topk(count // self._blocks, dim=1).indices, True)
        self.kept.copy_(kept.flatten())

    def conclude(self) -> None:
        """Take out what was chosen."""
        self.present.copy_(self.kept)

    def add_scores(self, effects: Tensor) -> None:
        """Remember what scaling each present index would have done to the loss: (present,), signed.

        Its square is the index's first-order importance (Molchanov et al., 2019).
        """
        if self._whole:
            width = self.size // self._blocks
            effects = effects.view(-1, width).sum(1, keepdim=True).expand(-1, width).flatten()
        self.scores[self.present] += effects.square()

    def presence(self, level: float) -> Presence:
        indices = self.present.nonzero().flatten()
        levels = torch.where(self.kept[indices], 1.0, level)
        return Presence(indices, levels)

    def tensors(self) -> Mapping[str, Tensor]:
        return {"kept": self.kept, "present": self.present, "scores": self.scores}
