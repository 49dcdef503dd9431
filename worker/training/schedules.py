"""Learning-rate schedules as pure functions of the step."""


def warmup_then_linear_decay(step: int, *, total_steps: int, warmup_ratio: float) -> float:
    """Factor of the peak rate for 0-based ``step``: up to 1 over the warm-up, then down to 0 at the end."""
    warmup = round(total_steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (total_steps - step) / max(1, total_steps - warmup)
