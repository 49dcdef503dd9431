"""How far metrics measured on these rows may be off: a bootstrap, paired over models on the same rows.

Shapes: N rows of a split, R resamples, K sums that a metric is made of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RESAMPLES: Final = 1000
LEVEL: Final = 0.95
CELLS: Final = 2**18
"""Weights held at once: a large split is resampled in parts that fit into a cache."""


class RowMetric(Protocol):
    """A metric of one model on a split, when rows count as often as a resample has them."""

    @property
    def rows(self) -> int:
        """N."""

    def __call__(self, weights: Floats) -> Floats:
        """The metric (R,) under weights (R, N) of the rows."""


@dataclass(frozen=True)
class Interval:
    """Where a value lies in ``LEVEL`` of the resamples."""

    low: float
    high: float


@dataclass(frozen=True)
class MetricOfSums:
    """A metric that is a function of sums over rows, as means and micro F1 are."""

    terms: Floats
    """(N, K)."""
    of_sums: Callable[[Floats], Floats]
    """(R, K) to (R,)."""

    @property
    def rows(self) -> int:
        return len(self.terms)

    def __call__(self, weights: Floats) -> Floats:
        return self.of_sums(weights @ self.terms)


class RankCorrelation:
    """Spearman's correlation of two numbers a row, ties sharing their mean rank; 0 where one is constant."""

    def __init__(self, one: npt.ArrayLike, other: npt.ArrayLike) -> None:
        """Take (N,) and (N,)."""
        self._rankings = [_Ranking(np.asarray(values)) for values in (one, other)]

    @property
    def rows(self) -> int:
        return len(self._rankings[0].place)

    def __call__(self, weights: Floats) -> Floats:
        middle = (weights.sum(axis=1, keepdims=True) + 1) / 2  # the mean of ranks, whatever their ties
        x, y = (ranking.ranks(weights) - middle for ranking in self._rankings)
        x_times = weights * x
        together = np.vecdot(x_times, y)
        spread = np.sqrt(np.vecdot(x_times, x) * np.vecdot(weights * y, y))
        return _ratio(together, spread)


class _Ranking:
    """Rows in the order of a number of theirs."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        _, self.place, counts = np.unique(values, return_inverse=True, return_counts=True)
        self._order = np.argsort(self.place, kind="stable")
        self._begins = np.concatenate([[0], np.cumsum(counts)[:-1]])

    def ranks(self, weights: Floats) -> Floats:
        """Of the rows in each resample, (R, N); equal ones share their mean."""
        there = weights[:, self._order]
        if len(self._begins) < len(self._order):
            there = np.add.reduceat(there, self._begins, axis=1)
        ranks: Floats = (np.cumsum(there, axis=1) - (there - 1) / 2)[:, self.place]
        return ranks


def mean_of(values: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> MetricOfSums:
    """The mean of values (N,), each a sum over so many ``counts`` (N,), by default one."""
    sums = np.asarray(values, np.float64)
    of = np.ones_like(sums) if counts is None else np.asarray(counts, np.float64)
    return MetricOfSums(np.stack([sums, of], axis=1), lambda total: _ratio(total[:, 0], total[:, 1]))


def micro_f1_of(hits: npt.ArrayLike, found: npt.ArrayLike, there: npt.ArrayLike) -> MetricOfSums:
    """F1 of what was found against what is there, counted a row, each (N,)."""
    terms = np.stack([np.asarray(part, np.float64) for part in (hits, found, there)], axis=1)
    return MetricOfSums(terms, lambda total: _ratio(2 * total[:, 0], total[:, 1] + total[:, 2]))


def resampled(
    metrics: Mapping[str, RowMetric], *, resamples: int = RESAMPLES, seed: int = 0, cells: int = CELLS
) -> dict[str, Floats]:
    """Each metric on the same resamples of the rows that all of them were measured on, (R,) by name."""
    [rows] = {metric.rows for metric in metrics.values()} or {0}
    if not rows:
        return {name: np.full(resamples, np.nan) for name in metrics}
    generator = np.random.default_rng(seed)
    at_once = max(1, min(resamples, cells // rows))
    found: dict[str, list[Floats]] = {name: [] for name in metrics}
    for begin in range(0, resamples, at_once):
        weights = _weights(generator, rows, min(at_once, resamples - begin))
        for name, metric in metrics.items():
            found[name].append(metric(weights))
    return {name: np.concatenate(values) for name, values in found.items()}


def interval(values: Floats, *, level: float = LEVEL) -> Interval | None:
    """The percentile interval of resampled values (R,); None where one of them has no value."""
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def retained(student: Floats, teacher: Floats) -> Floats:
    """The share of the teacher's metric that the student keeps, resample by resample; NaN of none."""
    return np.divide(student, teacher, out=np.full_like(student, np.nan), where=teacher > 0)


def paired_p_value(differences: Floats) -> float:
    """Two-sided, of the hypothesis that two models are equally good, from their resampled differences (R,).

    At least 2 / (R + 1): more resamples would be needed to say that it is smaller.
    """
    below, above = np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)
    return float(min(1.0, 2 * (1 + min(below, above)) / (len(differences) + 1)))


def _weights(generator: np.random.Generator, rows: int, resamples: int) -> Floats:
    """How often each row is drawn, (R, N)."""
    drawn = generator.integers(rows, size=(resamples, rows), dtype=np.int32)
    cells = drawn + rows * np.arange(resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=resamples * rows).reshape(resamples, rows).astype(np.float64)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
