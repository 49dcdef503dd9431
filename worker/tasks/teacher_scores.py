"""What teachers that are no models here say of a split: from its stored column to logits or texts.

Shapes: R rows, P texts or words of all rows end to end, C outputs, K teachers.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.domain.documents.manifest import DatasetManifest
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES, Activation, Scoring
from worker.contracts import FloatArray, LabelArray

Weights = Mapping[str, float]
"""Of teachers, by name; those that are not named do not count."""
RowScores = list[FloatArray | str | None]
"""Of each row: logits (words, C), one word where it is a text, or a text; None where no teacher says any."""

_LEAST = 1e-6
"""Probability that stands for 0."""
NEVER: Final = float(np.log(_LEAST))
"""A label's logit, beside one of 0, where it has that probability."""


def row_scores(table: pa.Table, manifest: DatasetManifest, weights: Weights | None) -> RowScores | None:
    """What the teachers of a split say of its rows, averaged.

    Args:
        table: the split.
        manifest: says what its columns hold.
        weights: of the teachers; None: all count the same.

    Returns:
        One entry for each row; None where the split has no such scores at all.
    """
    scoring = TASKS[manifest.task].scoring
    if TEACHER_SCORES not in table.column_names or scoring is None:
        return None
    column: Any = table[TEACHER_SCORES].combine_chunks()
    names = [field.name for field in column.type]
    counted = {name: weight for name, weight in (weights or dict.fromkeys(names, 1.0)).items() if weight > 0}
    said = {name: column.field(name) for name in names if name in counted}
    if not said:
        return None
    if scoring == "vector":
        [vectors] = said.values()  # they cannot be averaged, and planning lets only one through
        return [None if row is None else np.array([row], np.float32) for row in vectors.to_pylist()]
    if scoring == "text":
        [texts] = said.values()  # likewise
        written: RowScores = texts.to_pylist()
        return written
    outputs = max(1, len(manifest.labels))
    lengths = np.stack([_lengths(values) for values in said.values()]) // outputs  # (K, R)
    counts = lengths.max(axis=0)  # words of each row that any teacher speaks of
    logits = np.zeros((len(said), int(counts.sum()), outputs), np.float32)
    is_said = np.repeat(lengths > 0, counts, axis=1)  # (K, P)
    for ours, there, values in zip(logits, is_said, said.values(), strict=True):
        ours[there] = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, outputs)
    known = np.array([counted[name] for name in said])[:, None] * is_said
    mixture = logits[0] if len(said) == 1 else average(logits, known, scoring)
    ends = np.concatenate([[0], np.cumsum(counts)]).tolist()
    return [mixture[begin:end] if begin < end else None for begin, end in pairwise(ends)]


def average(logits: FloatArray, weights: npt.NDArray[np.float64], scoring: Scoring) -> FloatArray:
    """The mean of what teachers say: of their probabilities, or of their numbers.

    Args:
        logits: (K, P, C).
        weights: (K, P), of any sum above 0.
        scoring: what these are logits of.

    Returns:
        (P, C).
    """
    shares = (weights / weights.sum(axis=0))[:, :, None]
    said = logits.astype(np.float64)
    if scoring == "number":
        return np.asarray((shares * said).sum(axis=0), np.float32)
    with np.errstate(divide="ignore"):  # of one that says nothing
        log_shares = np.log(shares)
    if scoring == "per_label":
        yes, no = (np.logaddexp.reduce(log_shares - np.logaddexp(0, sign * said)) for sign in (-1, 1))
        return np.asarray(yes - no, np.float32)
    normalised = said - np.logaddexp.reduce(said, axis=2, keepdims=True)
    return np.asarray(np.logaddexp.reduce(log_shares + normalised), np.float32)


def chosen(logits: FloatArray, task: Task, activation: Activation | None = None) -> LabelArray:
    """What teachers choose, as labels of the task; of (P, C)."""
    scoring = TASKS[task].scoring
    if scoring == "number":
        numbers = logits[:, 0]
        return numbers if activation is None else (1 / (1 + np.exp(-numbers))).astype(np.float32)
    if scoring == "per_label":
        return (logits > 0).astype(np.float32)
    best: npt.NDArray[np.int64] = logits.argmax(axis=1)
    return best


def is_complete(logits: FloatArray) -> bool:
    """Whether teachers say something of every row; of (P, C)."""
    return not np.isnan(logits).any()


def certain(labels: LabelArray, outputs: int) -> FloatArray:
    """Logits (P, C) of a teacher that is sure of labels; NaN where there is no label."""
    if labels.ndim == 2:
        sure: FloatArray = np.where(labels > 0, 1, -1) * np.float32(-NEVER)
        return np.where(np.isfinite(labels), sure, np.nan).astype(np.float32)
    if np.issubdtype(labels.dtype, np.floating):
        return labels.astype(np.float32)[:, None]
    logits = np.full((len(labels), outputs), NEVER, np.float32)
    known = labels >= 0
    logits[known, labels[known]] = 0
    logits[~known] = np.nan
    return logits


def _lengths(values: Any) -> npt.NDArray[np.int64]:
    """Of a column of lists, (R,); 0 where there is none."""
    lengths: npt.NDArray[np.int64] = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return lengths
