"""Whether quality on dev still rises, so that a longer training would make a better student."""

from collections.abc import Sequence
from typing import Final

FINAL_GAIN: Final = "final_gain"
"""Among a student's metrics."""

_LAST: Final = 0.25
"""The share of the evaluations whose gain counts."""
_WORTHWHILE: Final = 0.01


def final_gain(curve: Sequence[float]) -> float:
    """By how much the best of the last quarter of evaluations is above the best before, relative to it.

    Args:
        curve: quality at each evaluation; higher is better. It may be negative, as minus a loss is.
    """
    count = max(1, round(_LAST * len(curve)))
    before, last = curve[:-count], curve[-count:]
    if not before:
        return 0.0
    return (max(last) - max(before)) / max(abs(max(before)), _WORTHWHILE)


def is_worthwhile(gain: float) -> bool:
    """Whether a final gain is enough to go on: the end of a schedule adds a little to nearly any training."""
    return gain > _WORTHWHILE
