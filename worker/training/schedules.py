"""Learning-rate schedules as pure functions of the step."""


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
