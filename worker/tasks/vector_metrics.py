"""How near vectors of texts are to those of a teacher, and what their similarities are worth.

Shapes: N texts, D dimensions of a vector.
"""

from typing import Final

import numpy as np

from worker.contracts import FloatArray, IntArray, TokenizedSplit
from worker.tasks.metrics import spearman

NEIGHBOURS: Final = 10
_MOST_COMPARED: Final = 4_000
"""Texts among which neighbours are looked for: more take a time that grows with their square."""
_SAMPLED_PAIRS: Final = 20_000


def similarity_spearman(split: TokenizedSplit, vectors: FloatArray) -> float:
    """Rank correlation of cosines with the scores of pairs, or, for want of any, with the teacher's cosines.

    0 where there is neither.
    """
    ours = unit(vectors)
    if split.groups is not None and split.labels is not None:
        first, second = pairs(split.groups)
        scores = split.labels[first].astype(np.float32)
        known = np.isfinite(scores)
        return spearman(scores[known], _cosines(ours, first, second)[known])
    if split.teacher_vectors is None or len(split) < 3:
        return 0.0
    first, second = _sampled_pairs(len(split))
    theirs = unit(split.teacher_vectors)
    return spearman(_cosines(theirs, first, second), _cosines(ours, first, second))


def neighbour_recall(split: TokenizedSplit, vectors: FloatArray) -> float:
    """Share of each text's ten nearest by the teacher's vectors that are among its ten nearest, in [0, 1].

    Texts that are there twice count once.
    """
    if split.teacher_vectors is None:
        return 0.0
    rows = _different_texts(split)[:_MOST_COMPARED]
    count = min(NEIGHBOURS, len(rows) - 1)
    if count < 1:
        return 0.0
    theirs, ours = (nearest(unit(all_[rows]), count) for all_ in (split.teacher_vectors, vectors))
    hits = (theirs[:, :, None] == ours[:, None, :]).any(axis=2)
    return float(hits.mean())


def passage_recall(groups: IntArray, vectors: FloatArray) -> float:
    """Share of queries, the first of each pair, whose passage is among the ten nearest ones, in [0, 1]."""
    first, second = (rows[:_MOST_COMPARED] for rows in pairs(groups))
    similarities = unit(vectors[first]) @ unit(vectors[second]).T
    better = (similarities > similarities.diagonal()[:, None]).sum(axis=1)
    return float(np.mean(better < NEIGHBOURS))


def mean_cosine(one: FloatArray, other: FloatArray) -> float:
    """Of (N, D) and (N, D), row by row, in [-1, 1]."""
    return float(np.mean((unit(one) * unit(other)).sum(axis=1)))


def pairs(groups: IntArray) -> tuple[IntArray, IntArray]:
    """The rows of first and of second texts, of pairs that are whole."""
    order = np.argsort(groups, kind="stable")
    is_pair = groups[order[:-1]] == groups[order[1:]]
    return order[:-1][is_pair], order[1:][is_pair]


def nearest(units: FloatArray, count: int) -> IntArray:
    """The rows nearest to each of (N, D), itself left out: (N, count), in no order."""
    similarities = units @ units.T
    np.fill_diagonal(similarities, -np.inf)
    found: IntArray = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
    return found


def unit(vectors: FloatArray) -> FloatArray:
    """The same directions at length 1; no direction stays none."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    brought: FloatArray = vectors / np.maximum(lengths, 1e-12)
    return brought


def _cosines(units: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    found: FloatArray = (units[first] * units[second]).sum(axis=1)
    return found


def _sampled_pairs(texts: int) -> tuple[IntArray, IntArray]:
    """Pairs of different texts, the same ones for every network."""
    generator = np.random.default_rng(0)
    first = generator.integers(texts, size=_SAMPLED_PAIRS)
    return first, (first + generator.integers(1, texts, size=_SAMPLED_PAIRS)) % texts


def _different_texts(split: TokenizedSplit) -> IntArray:
    """The first row of each text."""
    first: dict[bytes, int] = {}
    for row, (begin, end) in enumerate(zip(split.offsets[:-1], split.offsets[1:], strict=True)):
        first.setdefault(split.ids[begin:end].tobytes(), row)
    return np.fromiter(first.values(), np.int64)
