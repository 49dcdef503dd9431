"""How often two networks give the same answer.

Shapes: N answers compared, C outputs.
"""

import numpy as np

from worker.contracts import FloatArray, IntArray
from worker.tasks.implementation import Thresholds

TIED_TOKENS = 0.1
"""Logits between tokens that are as good as equal. Measured on MiniLM after 40 steps of masked words: int8
chose another word for 11 % of them, and all but 0.5 % of its choices were such."""


def same_choice(
    reference: FloatArray, exported: FloatArray, _thresholds: Thresholds, _counts: IntArray | None = None, /
) -> float:
    """Share of answers whose best output, of (N, C), is the same."""
    return float(np.mean(reference.argmax(axis=1) == exported.argmax(axis=1)))


def same_choice_or_tied(
    reference: FloatArray, exported: FloatArray, _thresholds: Thresholds, _counts: IntArray | None = None, /
) -> float:
    """An answer is the same, too, where the reference puts it at most ``TIED_TOKENS`` below its own.

    Among all words of a language the first are often next to equal, and either will do.
    """
    chosen = np.take_along_axis(reference, exported.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float(np.mean(chosen >= reference.max(axis=1) - TIED_TOKENS))


def same_side_of_median(
    reference: FloatArray, exported: FloatArray, _thresholds: Thresholds, _counts: IntArray | None = None, /
) -> float:
    """Of numbers, (N, 1): whether they order the texts alike; each is compared with its network's median."""
    one, other = (outputs[:, 0] > np.median(outputs[:, 0]) for outputs in (reference, exported))
    return float(np.mean(one == other))
