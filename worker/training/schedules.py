"""Learning-rate schedules as pure functions of the step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseSchedule:
    """How many steps a phase takes, and its learning rates over them."""

    steps: int
    warmup_share: float = 1.0
    """How much of the training's warm-up ratio it takes."""
    rates: tuple[float, float] = (1.0, 0.0)
    """Shares of the peak rate after the warm-up and at the end: a phase can begin where another ended."""

    def rate(self, step: int, *, warmup_ratio: float) -> float:
        """Factor of the peak rate for 0-based ``step`` of the phase; ``warmup_ratio`` is the training's."""
        ratio = self.warmup_share * warmup_ratio
        return warmup_then_linear_decay(step, total_steps=self.steps, warmup_ratio=ratio, ends=self.rates)


def warmup_then_linear_decay(
    step: int, *, total_steps: int, warmup_ratio: float, ends: tuple[float, float] = (1.0, 0.0)
) -> float:
    """Factor of the peak rate for 0-based ``step``: up over the warm-up, then linearly down.

    Args:
        step: of all.
        total_steps: so many there are.
        warmup_ratio: share of them that warm up.
        ends: the factor after the warm-up, and the one that the step after the last would have.
    """
    first, last = ends
    warmup = round(total_steps * warmup_ratio)
    if step < warmup:
        return first * (step + 1) / (warmup + 1)
    return last + (first - last) * (total_steps - step) / max(1, total_steps - warmup)
