"""Which step of a training is kept: the best one, by quality on dev or by a measure of a phase's own."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Evaluate = Callable[[nn.Module], float]
"""A network's quality; higher is better."""


@dataclass(frozen=True)
class PhaseSelection:
    """By what a phase keeps its best step, and whether that or its last step is what it leaves."""

    evaluate: Evaluate | None = None
    """None: quality on dev. A phase with a measure of its own leaves its best step to the next one, and no
    step before the end of the last such phase can be the student; that end can."""
    patience: int | None = None
    """The phase ends after so many evaluations in a row without a new best step, which it goes back to;
    None: it runs all its steps and leaves the last."""
    unfinished_steps: int = 0
    """So many of its steps leave a network that is not of its final size yet, which cannot be the student."""

    @property
    def leaves_best_step(self) -> bool:
        return self.evaluate is not None or self.patience is not None


BY_DEV_QUALITY = PhaseSelection()
"""All steps are run, and each can be the student."""
