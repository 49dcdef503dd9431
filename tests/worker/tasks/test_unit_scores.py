"""Scores where a network's one output goes through a sigmoid."""

import numpy as np
import pytest
import torch

from app.domain.documents.manifest import DatasetManifest, Files, ModelManifest, SplitSummary
from app.domain.score_scale import ScoreScale, job_activation, score_scale
from tests.app.jobs.shelf import ENCODER
from tests.worker.compression import make_data
from worker.evaluation.quality import quality
from worker.tasks import implementation_of
from worker.tasks.unit_scores import on_unit_scale

FILES = Files(prefix="", entries={})
PROBABILITIES = np.array([[0.1], [0.5], [0.9]], np.float32)
LOGITS = np.log(PROBABILITIES / (1 - PROBABILITIES))


def scored(least: float, greatest: float) -> DatasetManifest:
    summary = SplitSummary(rows=9, words={}, scores={"min": least, "mean": least, "max": greatest})
    return DatasetManifest(
        files=FILES, task="text_regression", labels=[], is_pair=True, splits={"train": summary}
    )


def test_scores_become_probabilities_and_those_of_teachers_logits() -> None:
    columns = {"text": ["a", "b", "c"], "score": [0.0, 2.5, 6.0], "teacher_scores": [None, [[2.5]], [[5.0]]]}
    found = on_unit_scale(columns, ScoreScale(0.0, 5.0))
    assert (found["text"], found["score"]) == (["a", "b", "c"], [0.0, 0.5, 1.0])
    assert found["teacher_scores"][0] is None
    assert found["teacher_scores"][1] == pytest.approx(np.zeros((1, 1)))
    assert 10 < float(found["teacher_scores"][2][0, 0]) < 20
    assert on_unit_scale({"score": [0.25]}, None) == {"score": [0.25]}


def test_what_is_measured_are_answers() -> None:
    split = make_data("text_regression").dev
    split = type(split)(
        ids=split.ids, type_ids=None, offsets=split.offsets, labels=PROBABILITIES[:, 0], digest=""
    )
    found = quality("text_regression", split, LOGITS, labels=[], activation="sigmoid")
    assert found["mse"] == pytest.approx(0, abs=1e-9)
    assert found["pearson"] == pytest.approx(1)


def test_losses_are_least_where_answers_are_right() -> None:
    losses = implementation_of("text_regression", "sigmoid")
    scores = torch.tensor([*PROBABILITIES[:, 0], torch.nan])
    outputs = torch.tensor([*LOGITS[:, 0], 3.0])[:, None].requires_grad_()
    losses.answer_loss(0.0)(outputs, scores).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad.abs().max() < 1e-6
    same = outputs.detach()
    assert float(losses.soft_loss(same, same, None)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("greatest", "needs_head", "expected"),
    [(1.0, True, "sigmoid"), (1.0, False, "sigmoid"), (5.0, True, "sigmoid"), (5.0, False, None)],
)
def test_whose_answers_go_through_it(greatest: float, needs_head: bool, expected: str | None) -> None:
    teacher = ModelManifest(
        files=FILES,
        architecture=ENCODER,
        task="text_regression",
        labels=None,
        activation="sigmoid",
        parameters=1,
        max_length=8,
    )
    data = scored(0.0, greatest)
    assert job_activation(teacher, data, needs_head=needs_head) == expected
    assert (score_scale(data) is None) == (greatest == 1.0)
