"""How many steps each stage and each of its parts gets."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Stage = Literal["representation", "logits", "labels"]

_REPRESENTATION_SHARE = 0.2
"""Of all steps."""
_LABELS_SHARES = (0.1, 0.5)
"""Of all steps, where next to no row has a label and where every row has one; what is left is the logits'."""

UNFREEZING = (
    ("head", 1),
    ("projection", 1),
    ("lstm", 4),
    ("embeddings", 14),
)
"""From the top, each with its share of a stage's steps: the lower parts hold most of what is to be learnt."""


@dataclass(frozen=True)
class SubStage:
    """A stretch of steps in which the same parts train."""

    stage: Stage
    depth: int
    """How many of ``UNFREEZING`` train, from the top."""
    steps: int

    @property
    def name(self) -> str:
        whole = self.depth == len(UNFREEZING)
        return self.stage if whole else f"{self.stage}_{UNFREEZING[self.depth - 1][0]}"


def stage_shares(labelled_share: float, *, has_states: bool = True) -> dict[Stage, float]:
    """Each stage's share of the steps: the more rows have labels, the more is to be learnt from these."""
    few, all_of_them = _LABELS_SHARES
    labels = few + (all_of_them - few) * labelled_share
    if not has_states:
        return {"logits": 1 - labels, "labels": labels}
    representation = _REPRESENTATION_SHARE
    return {"representation": representation, "logits": 1 - representation - labels, "labels": labels}


def plan_stages(
    steps: int, *, labelled_share: float, gradual_unfreezing: bool, has_states: bool = True
) -> list[SubStage]:
    """Divide steps among stages and sub-stages; the first stage trains all parts at once.

    Args:
        steps: of the whole training.
        labelled_share: of the rows, in (0, 1].
        gradual_unfreezing: whether later stages begin with the top alone.
        has_states: whether the teacher is a network, whose states are learnt first.
    """
    planned = []
    shares = stage_shares(labelled_share, has_states=has_states)
    first = next(iter(shares))
    for stage, count in zip(shares, divide(steps, list(shares.values())), strict=True):
        if stage == first or not gradual_unfreezing:
            planned.append(SubStage(stage, len(UNFREEZING), count))
            continue
        parts = divide(count, [share for _, share in UNFREEZING])
        planned += [SubStage(stage, depth, part) for depth, part in enumerate(parts, 1)]
    return planned


def divide(count: int, shares: list[float] | list[int]) -> list[int]:
    """Whole numbers that add up to ``count``, nearly in proportion to shares."""
    whole = sum(shares)
    ends = [round(count * part / whole) for part in accumulate(shares)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
