"""The texts that a teacher and its student answer most differently.

Shapes: N rows, C outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.domain.documents.comparison import Disagreement, GivenAnswer
from app.domain.entity_spans import Span
from worker.contracts import FloatArray, TaskData, TokenizedSplit
from worker.data.tables import read_split
from worker.evaluation.row_answers import passing, softmax, spans_of_rows, true_labels
from worker.tasks.answer_metrics import word_f1
from worker.tasks.implementation import Thresholds
from worker.tasks.metrics import label_indices
from worker.tasks.multi_label_classification import probabilities
from worker.tasks.question_answering import answers_to_questions

_MOST: Final = 20
_LONGEST: Final = 300
"""Characters that are shown of a text or an answer."""
_TEXT_COLUMNS: Final = ("text", "text_pair", "question", "context")

Describe = Callable[[int], GivenAnswer]
"""What a model answers to a row."""

Distances = npt.NDArray[np.floating]
"""(N,): how far apart the answers are, 0 where they are the same."""


class Texts:
    """The rows of a split as people read them."""

    def __init__(self, folder: Path, split: str) -> None:
        """Take the folder of a data set in canonical form."""
        self._folder, self._split = folder, split

    def __getitem__(self, rows: Sequence[int]) -> list[list[str]]:
        """The texts of each row, or its words."""
        table = read_split(self._folder, self._split)
        if "tokens" in table.column_names:
            words: Any = table.column("tokens").take(rows).to_pylist()
            return list(words)
        columns = [name for name in _TEXT_COLUMNS if name in table.column_names]
        taken = table.select(columns).take(rows).to_pylist()
        return [[" | ".join(row[name] for name in columns if row[name] is not None)] for row in taken]


def disagreements(
    split: TokenizedSplit,
    data: TaskData,
    texts: Texts,
    *,
    teacher: tuple[FloatArray, Thresholds],
    student: tuple[FloatArray, Thresholds],
) -> list[Disagreement]:
    """Those with the most different answers first; none for tasks whose answers cannot be shown.

    Args:
        split: labelled.
        data: whose task it is.
        texts: of the split.
        teacher: its logits on the split, and its thresholds.
        student: likewise; none are found where long rows are cut elsewhere than the teacher's.
    """
    if teacher[0].shape != student[0].shape:
        return []
    match data.task:
        case "text_classification":
            found = _of_one_label(split, data, teacher[0], student[0])
        case "multi_label_classification":
            found = _of_several_labels(split, data, teacher, student)
        case "text_regression":
            found = _of_numbers(split, data, teacher[0], student[0])
        case "question_answering":
            found = _of_questions(split, teacher, student)
        case "token_classification":
            return _of_entities(split, data, texts, teacher[0], student[0])
        case _:
            return []
    distances, label, *describe = found
    rows = _furthest(distances)
    shown = texts[rows] if rows else []
    return [
        _disagreement(row, " ".join(words), label(row), distances, *(one(row) for one in describe))
        for row, words in zip(rows, shown, strict=True)
    ]


def _of_one_label(
    split: TokenizedSplit, data: TaskData, teacher: FloatArray, student: FloatArray
) -> tuple[Distances, Callable[[int], str], Describe, Describe]:
    theirs, ours = softmax(teacher), softmax(student)
    truth = label_indices(split)
    differs = theirs.argmax(axis=1) != ours.argmax(axis=1)
    distances = np.abs(theirs - ours).sum(axis=1) / 2 * differs
    return distances, lambda row: data.labels[truth[row]], _chosen(theirs, data), _chosen(ours, data)


def _chosen(scores: npt.NDArray[np.float64], data: TaskData) -> Describe:
    def describe(row: int) -> GivenAnswer:
        best = int(scores[row].argmax())
        return GivenAnswer(answer=data.labels[best], probability=float(scores[row, best]))

    return describe


def _of_several_labels(
    split: TokenizedSplit,
    data: TaskData,
    teacher: tuple[FloatArray, Thresholds],
    student: tuple[FloatArray, Thresholds],
) -> tuple[Distances, Callable[[int], str], Describe, Describe]:
    theirs, ours = passing(*teacher), passing(*student)
    apart = np.abs(probabilities(teacher[0]) - probabilities(student[0]))
    names = np.asarray(data.labels, object)
    truth = true_labels(split)

    def named(passes: npt.NDArray[np.bool_]) -> Callable[[int], str]:
        return lambda row: ", ".join(names[passes[row]]) or "none"

    def described(passes: npt.NDArray[np.bool_]) -> Describe:
        return lambda row: GivenAnswer(answer=_short(named(passes)(row)))

    return (apart * (theirs != ours)).sum(axis=1), named(truth), described(theirs), described(ours)


def _of_numbers(
    split: TokenizedSplit, data: TaskData, teacher: FloatArray, student: FloatArray
) -> tuple[Distances, Callable[[int], str], Describe, Describe]:
    through = probabilities if data.activation == "sigmoid" else np.asarray
    theirs, ours = through(teacher)[:, 0], through(student)[:, 0]
    truth = split.labels
    assert truth is not None

    def said(values: npt.NDArray[Any]) -> Describe:
        return lambda row: GivenAnswer(answer=f"{values[row]:.3g}")

    return np.abs(theirs - ours), lambda row: f"{truth[row]:.3g}", said(theirs), said(ours)


def _of_questions(
    split: TokenizedSplit, teacher: tuple[FloatArray, Thresholds], student: tuple[FloatArray, Thresholds]
) -> tuple[Distances, Callable[[int], str], Describe, Describe]:
    theirs, right = zip(*answers_to_questions(split, *teacher), strict=True)
    ours, _ = zip(*answers_to_questions(split, *student), strict=True)
    distances = np.array([1 - word_f1(our, [their]) for our, their in zip(ours, theirs, strict=True)])

    def said(answers: Sequence[str]) -> Describe:
        return lambda row: GivenAnswer(answer=_short(answers[row]) or "none")

    return distances, lambda row: ", ".join(right[row]) or "none", said(theirs), said(ours)


def _of_entities(
    split: TokenizedSplit, data: TaskData, texts: Texts, teacher: FloatArray, student: FloatArray
) -> list[Disagreement]:
    truth, theirs, ours = (
        spans_of_rows(tags, split, data.labels)
        for tags in (label_indices(split), teacher.argmax(axis=1), student.argmax(axis=1))
    )
    distances = np.array([len(one ^ other) for one, other in zip(theirs, ours, strict=True)], float)
    rows = _furthest(distances)
    found = []
    for row, words in zip(rows, texts[rows] if rows else [], strict=True):
        label, *answers = (_short(", ".join(_entities(spans[row], words))) for spans in (truth, theirs, ours))
        given = [GivenAnswer(answer=answer or "none") for answer in answers]
        found.append(_disagreement(row, " ".join(words), label or "none", distances, *given))
    return found


def _entities(spans: frozenset[Span], words: Sequence[str]) -> Iterator[str]:
    for kind, start, end in sorted(spans, key=lambda span: span.start):
        yield f"{' '.join(words[start:end])} ({kind})"


def _furthest(distances: Distances) -> list[int]:
    """Rows that differ, the furthest first."""
    order = np.argsort(-distances, kind="stable")[:_MOST]
    return [int(row) for row in order if distances[row] > 0]


def _disagreement(
    row: int, text: str, label: str, distances: Distances, teacher: GivenAnswer, student: GivenAnswer
) -> Disagreement:
    return Disagreement(
        row=row,
        text=_short(text),
        label=_short(label),
        teacher=teacher,
        student=student,
        distance=float(distances[row]),
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
