"""How many steps each stage and each of its parts gets."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Stage = Literal["representation", "logits", "labels"]

STAGE_SHARES: dict[Stage, float] = {"representation": 0.2, "logits": 0.7, "labels": 0.1}
"""Of all steps."""

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


def plan_stages(steps: int, *, gradual_unfreezing: bool) -> list[SubStage]:
    """Divide steps among stages and sub-stages; the first stage trains all parts at once."""
    planned = []
    for stage, count in zip(STAGE_SHARES, divide(steps, list(STAGE_SHARES.values())), strict=True):
        if stage == "representation" or not gradual_unfreezing:
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
