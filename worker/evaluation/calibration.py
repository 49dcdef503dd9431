"""Whether probabilities mean what they say.

Shapes: N predictions.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_BINS: Final = 15
"""Of equal width, as Guo et al. (2017) have it."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of nearly the same probability."""

    rows: int
    confidence: float
    """Their mean probability."""
    accuracy: float
    """The share of them that is right."""


@dataclass(frozen=True)
class Reliability:
    """How probabilities and how often they come true lie beside one another."""

    expected_error: float
    """ECE: the mean distance between the two over all predictions, by bin."""
    bins: list[ReliabilityBin]
    """Those that are not empty, in order."""


def reliability(
    probabilities: npt.NDArray[np.floating], is_right: npt.NDArray[np.bool_], *, bins: int = _BINS
) -> Reliability:
    """Of predictions with probabilities (N,), and whether each came true (N,)."""
    confidence = probabilities.astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    said, held = (
        np.bincount(place, weights=values, minlength=bins) for values in (confidence, is_right.astype(float))
    )
    there = np.flatnonzero(counts)
    return Reliability(
        expected_error=float(np.abs(said - held).sum() / max(1, len(confidence))),
        bins=[
            ReliabilityBin(int(counts[i]), float(said[i] / counts[i]), float(held[i] / counts[i]))
            for i in there
        ],
    )
