"""How good sets of labels are, as pure functions over arrays.

Shapes: N texts, C labels. ``truth`` and ``passes`` are (N, C) booleans, ``scores`` (N, C) numbers.
"""

import numpy as np
import numpy.typing as npt

from worker.contracts import BoolArray

_MOST_ROUNDS = 50
"""Of improving thresholds; three or four are enough."""
_DEFAULT = 0.5
"""The threshold of a label that no text of the split has."""

Scores = npt.NDArray[np.floating]


def micro_f1(truth: BoolArray, passes: BoolArray) -> float:
    """F1 over all pairs of a text and a label, in [0, 1]; 0 where there are none in either."""
    occurrences = int(truth.sum() + passes.sum())
    return float(2 * (truth & passes).sum() / occurrences) if occurrences else 0.0


def macro_f1(truth: BoolArray, passes: BoolArray) -> float:
    """Mean F1 over the labels that some text has or gets, in [0, 1]; 0 where there are none."""
    occurrences = truth.sum(axis=0) + passes.sum(axis=0)  # (C,)
    present = occurrences > 0
    if not present.any():
        return 0.0
    return float(np.mean(2 * (truth & passes).sum(axis=0)[present] / occurrences[present]))


def label_ranking_average_precision(truth: BoolArray, scores: Scores) -> float:
    """Label ranking average precision, in (0, 1].

    For each label of a text the share of labels scored at least as high that are the text's too; mean over
    a text's labels, then over texts. A text with no label, or with all, counts as 1.
    """
    counts = truth.sum(axis=1)
    is_trivial = (counts == 0) | (counts == truth.shape[1])
    total = float(is_trivial.sum())
    for row in np.flatnonzero(~is_trivial):
        own = scores[row, truth[row]]
        at_least = (scores[row][None, :] >= own[:, None]).sum(axis=1)
        own_at_least = (own[None, :] >= own[:, None]).sum(axis=1)
        total += float(np.mean(own_at_least / at_least))
    return total / len(truth)


def best_thresholds(truth: BoolArray, scores: Scores) -> npt.NDArray[np.float64]:
    """The thresholds, (C,), with which micro F1 is highest on these texts.

    Micro F1 is 2 H / (P + T), of H labels that pass rightly, P that pass and T that texts have. It reaches f
    where some thresholds make 2 H - f P at least f T, and each label's part of that is made largest by
    itself (Dinkelbach, 1967): f rises to the best there is in a few rounds. A threshold lies halfway between
    the scores that it parts. A label that is better never named has one above 1.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)  # (N, C)
    hits = np.cumsum(np.take_along_axis(truth, order, axis=0), axis=0)
    is_cut = np.ones_like(truth)
    is_cut[:-1] = ranked[:-1] > ranked[1:]  # equal scores pass together, or not at all
    named = np.arange(1, len(truth) + 1)[:, None]
    columns = np.arange(truth.shape[1])
    reached, counts = 0.0, np.zeros(truth.shape[1], np.int64)
    for _ in range(_MOST_ROUNDS):
        gains = np.where(is_cut, 2 * hits - reached * named, -np.inf)
        best = gains.argmax(axis=0)
        counts = np.where(gains[best, columns] > 0, best + 1, 0)
        right = np.where(counts > 0, hits[best, columns], 0).sum()
        f1 = 2 * right / max(1, counts.sum() + truth.sum())
        if f1 <= reached:
            break
        reached = f1
    above = np.vstack([np.full(truth.shape[1], 2.0), ranked])[counts, columns]
    below = np.vstack([ranked, np.zeros(truth.shape[1])])[counts, columns]
    thresholds: npt.NDArray[np.float64] = np.where(truth.any(axis=0), (above + below) / 2, _DEFAULT)
    return thresholds
