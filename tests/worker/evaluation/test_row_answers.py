"""What is said of rows adds up to what is said of the split."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sklearn

from app.domain.tasks import TASKS, Task
from tests.worker.compression import QUALITIES, make_data, make_teacher
from worker.contracts import TaskData, TokenizedSplit
from worker.data.batches import subset
from worker.evaluation.class_scores import class_scores, confusion, label_counts
from worker.evaluation.disagreements import Texts, disagreements
from worker.evaluation.quality import chosen_thresholds, main_metric, measure
from worker.evaluation.row_answers import agreement, answer_reliability, passing, row_metric
from worker.evaluation.translation import bleu_of, translation_metrics
from worker.tasks.metrics import label_indices

TEXT_TASKS: list[Task] = [
    "text_classification",
    "multi_label_classification",
    "text_regression",
    "token_classification",
    "question_answering",
    "sentence_embedding",
]


def answered(data: TaskData, *, seed: int = 0, right: float = 2.0) -> np.ndarray:
    """Logits of a model that is often right, where there are labels."""
    split, head = data.dev, data.head
    positions = int(split.position_offsets[-1])
    outputs = 32 if data.task == "sentence_embedding" else head.outputs
    logits = np.random.default_rng(seed).normal(size=(positions, outputs)).astype(np.float32)
    if data.task in ("text_classification", "token_classification"):
        logits[np.arange(positions), label_indices(split)] += right
    if data.task in ("multi_label_classification", "text_regression"):
        logits += right * split.labels.reshape(positions, -1).astype(np.float32)
    return logits


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_rows_that_count_once_have_the_metric_of_the_split(task):
    data = make_data(task)
    logits = answered(data)
    thresholds = chosen_thresholds(task, data.dev, logits)
    metric = row_metric(data.dev, logits, data, thresholds=thresholds)
    assert metric(np.ones((1, metric.rows))) == pytest.approx(
        main_metric(data.dev, logits, data, thresholds=thresholds), abs=1e-6
    )


@pytest.mark.parametrize(
    "task", ["text_classification", "multi_label_classification", "token_classification"]
)
def test_a_resample_has_the_metric_of_its_rows(task):
    data = make_data(task)
    logits = answered(data)
    thresholds = chosen_thresholds(task, data.dev, logits)
    rows = np.random.default_rng(1).integers(len(data.dev), size=len(data.dev))
    begins = data.dev.position_offsets
    drawn = np.concatenate([logits[begins[row] : begins[row + 1]] for row in rows])
    expected = main_metric(subset(data.dev, rows), drawn, data, thresholds=thresholds)
    weights = np.bincount(rows, minlength=len(data.dev))[None].astype(float)
    assert row_metric(data.dev, logits, data, thresholds=thresholds)(weights) == pytest.approx(expected)


def test_vectors_without_scores_have_no_metric_of_rows():
    data = make_data("sentence_embedding")
    alone = TokenizedSplit(**{**vars(data.dev), "labels": None})
    assert row_metric(alone, answered(data), data, thresholds=()) is None


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_a_model_agrees_with_itself(task):
    data = make_data(task)
    logits = answered(data)
    thresholds = chosen_thresholds(task, data.dev, logits)
    same: dict[str, Any] = {"teacher_thresholds": thresholds, "thresholds": thresholds}
    assert agreement(data.dev, logits, logits, task, **same) == pytest.approx(1)
    assert agreement(data.dev, logits, answered(data, seed=1), task, **same) < 1
    assert agreement(data.dev, logits[:-1], logits, task, **same) is None


def test_precision_and_recall_are_those_of_scikit_learn():
    data = make_data("text_classification")
    teacher, student = answered(data, right=3), answered(data, seed=1, right=0.5)
    truth, choices = label_indices(data.dev), student.argmax(axis=1)
    counts = [label_counts(data.dev, logits, data, thresholds=()) for logits in (student, teacher)]
    found = {one.label: one for one in class_scores(*counts)}
    precision, recall, _, rows = sklearn.precision_recall_fscore_support(truth, choices, zero_division=0)
    theirs = sklearn.precision_recall_fscore_support(truth, teacher.argmax(axis=1), zero_division=0)
    for i, label in enumerate(data.labels):
        one = found[label]
        assert (one.rows, one.precision, one.recall) == (rows[i], pytest.approx(precision[i]), recall[i])
        assert one.precision_delta == pytest.approx(precision[i] - theirs[0][i])
        assert one.recall_delta == pytest.approx(recall[i] - theirs[1][i])
    cells = confusion(data.dev, student, data)
    assert cells.counts == sklearn.confusion_matrix(truth, choices).tolist()


def test_labels_that_are_decided_one_by_one_are_counted_one_by_one():
    data = make_data("multi_label_classification")
    logits = answered(data)
    thresholds = chosen_thresholds(data.task, data.dev, logits)
    found = class_scores(label_counts(data.dev, logits, data, thresholds=thresholds), None)
    truth, passes = data.dev.labels > 0, passing(logits, thresholds)
    precision, recall, _, rows = sklearn.precision_recall_fscore_support(truth, passes, zero_division=0)
    by_label = {one.label: one for one in found}
    for i, label in enumerate(QUALITIES):
        one = by_label[label]
        assert (one.rows, one.precision, one.recall) == (rows[i], pytest.approx(precision[i]), recall[i])
    assert [one.rows for one in found] == sorted(rows, reverse=True)
    assert confusion(data.dev, logits, data) is None


def test_many_labels_are_shown_by_those_most_confused():
    data = make_data("text_classification")
    labels = [f"label {number}" for number in range(40)]
    many = TaskData(**{**vars(data), "labels": labels})
    truth = np.arange(len(data.dev)) % 40
    split = TokenizedSplit(**{**vars(data.dev), "labels": truth})
    logits = np.eye(40, dtype=np.float32)[np.where(truth == 7, 35, truth)]
    cells = confusion(split, logits, many)
    assert (len(cells.labels), cells.of) == (30, 40)
    assert {"label 7", "label 35"} <= set(cells.labels)


def test_calibration_is_of_answers_that_have_probabilities():
    for task in TEXT_TASKS:
        data = make_data(task)
        found = answer_reliability(data.dev, answered(data), task)
        assert (found is not None) == TASKS[task].has_labels
        if found is not None:
            answers = int(data.dev.position_offsets[-1])
            decided = answers * (len(QUALITIES) if task == "multi_label_classification" else 1)
            assert sum(part.rows for part in found.bins) == decided


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_the_rows_that_differ_most_come_first(task, tmp_path):
    data = make_data(task)
    rows = len(data.dev)
    words = [[f"word{row}", "x" * 400] for row in range(rows)]
    name = {"token_classification": "tokens", "question_answering": "question"}.get(task, "text")
    columns = {name: words if name == "tokens" else [" ".join(w) for w in words]}
    pq.write_table(pa.table(columns), tmp_path / "dev.parquet")
    teacher, student = answered(data), answered(data, seed=1)
    if task == "token_classification":
        words = [[f"word{row}"] * int(count) for row, count in enumerate(np.diff(data.dev.position_offsets))]
        pq.write_table(pa.table({"tokens": words}), tmp_path / "dev.parquet")
    thresholds = chosen_thresholds(task, data.dev, student)

    def found(ours: np.ndarray) -> list[Any]:
        models = {"teacher": (teacher, thresholds), "student": (ours, thresholds)}
        return disagreements(data.dev, data, Texts(tmp_path, "dev"), **models)

    assert found(teacher) == []
    differing = found(student)
    if task == "sentence_embedding":
        assert differing == []
        return
    distances = [one.distance for one in differing]
    assert 0 < len(differing) <= 20
    assert distances == sorted(distances, reverse=True)
    for one in differing:
        assert one.text.startswith(f"word{one.row}")
        assert len(one.text) <= 300
        assert one.teacher != one.student


def test_bleu_of_resampled_rows_is_sacrebleus():
    written = ["a dog runs over the green grass", "two men sit here", "she", "the cat sleeps on a mat today"]
    wanted = ["a dog runs on the green grass", "two men are here", "she sings", "the cat sleeps on the mat"]
    metric = bleu_of(written, wanted)
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 0, 4, 0]], float)
    for line, found in zip(weights, metric(weights), strict=True):
        rows = np.repeat(np.arange(4), line.astype(int))
        expected = translation_metrics([written[i] for i in rows], [wanted[i] for i in rows])["bleu"]
        assert found == pytest.approx(expected)


def test_masked_words_are_counted_row_by_row():
    data = make_data("masked_language_modeling", dev=40)
    network = make_teacher(task="masked_language_modeling").network
    told: list[Any] = []
    found = measure(network, data.dev, data, device=network.device, on_rows=told.append)
    [metric] = told
    assert metric.rows == 40
    assert metric(np.ones((1, 40))) == pytest.approx(found["accuracy"])
    rows = np.arange(0, 40, 3)
    some = measure(network, subset(data.dev, rows), data, device=network.device)["accuracy"]
    assert metric(np.bincount(rows, minlength=40)[None].astype(float)) == pytest.approx(some)
