"""Columns of a data set for a network that has its labels in another order, or tags of another scheme."""

import numpy as np
import pytest

from worker.tasks.relabelling import relabelled
from worker.tasks.teacher_scores import NEVER

LOGITS = np.array([[-1.0, -2.0]], np.float32)


def test_targets_and_scores_go_by_name() -> None:
    columns = {"text": ["a", "b"], "label": [0, 1], "teacher_scores": [LOGITS, None]}
    found = relabelled(columns, "text_classification", given=["no", "yes"], wanted=["yes", "odd", "no"])
    assert (found["text"], found["label"]) == (["a", "b"], [2, 0])
    assert found["teacher_scores"][0] == pytest.approx(np.array([[-2, -1 + NEVER, -1]]))
    assert found["teacher_scores"][1] is None


def test_of_labels_that_are_decided_one_by_one() -> None:
    columns = {"labels": [[0, 1], []], "teacher_scores": [LOGITS, LOGITS]}
    found = relabelled(columns, "multi_label_classification", given=["a", "b"], wanted=["b", "c", "a"])
    assert found["labels"] == [[2, 0], []]
    assert found["teacher_scores"][0] == pytest.approx(np.array([[-2, NEVER, -1]]))


def test_tags_of_another_scheme() -> None:
    given, wanted = ["O", "B-A", "I-A"], ["S-A", "O", "B-A", "I-A", "E-A"]
    logits = np.eye(3, dtype=np.float32)[[1, 2, 0, 1]]
    columns = {"tags": [[1, 2, 0, 1]], "teacher_scores": [logits]}
    found = relabelled(columns, "token_classification", given=given, wanted=wanted)
    assert found["tags"] == [[2, 4, 1, 0]]
    assert found["teacher_scores"][0].argmax(axis=1).tolist() == [2, 4, 1, 0]
    assert found["teacher_scores"][0].shape == (4, 5)


def test_the_same_labels_stay_as_they_are() -> None:
    columns = {"label": [1, 0]}
    assert relabelled(columns, "text_classification", given=["a", "b"], wanted=["a", "b"]) == columns
