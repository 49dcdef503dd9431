"""Multi-label classification in code: metrics and thresholds against naive ones, losses, agreement."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional

from app.domain.tasks import TASKS
from tests.worker.compression import make_data
from worker.data.batches import concatenate, subset
from worker.tasks import IMPLEMENTATIONS
from worker.tasks.multi_label_classification import binary_cross_entropy, label_matrix, soft_labels_loss
from worker.tasks.multi_label_metrics import (
    best_thresholds,
    label_ranking_average_precision,
    macro_f1,
    micro_f1,
)

TASK = "multi_label_classification"


def drawn(texts: int, labels: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which labels texts have, and scores that know something of it; equal scores are among them."""
    draw = np.random.default_rng(seed)
    truth = draw.random((texts, labels)) < draw.random(labels) * 0.6
    scores = np.round(np.clip(0.3 * truth + draw.random((texts, labels)) * 0.6, 0, 1), 1)
    return truth, scores


def naive_f1(pairs: list[tuple[bool, bool]]) -> float:
    right = sum(has and gets for has, gets in pairs)
    wrong = sum(has != gets for has, gets in pairs)
    return 2 * right / (2 * right + wrong) if right + wrong else 0.0


def naive_micro_f1(truth: np.ndarray, passes: np.ndarray) -> float:
    return naive_f1(list(zip(truth.ravel(), passes.ravel(), strict=True)))


def naive_label_ranking(truth: np.ndarray, scores: np.ndarray) -> float:
    precisions = []
    for has, said in zip(truth, scores, strict=True):
        shares = []
        for label in np.flatnonzero(has):
            above = [other for other in range(len(said)) if said[other] >= said[label]]
            shares.append(sum(has[other] for other in above) / len(above))
        precisions.append(np.mean(shares) if shares and not has.all() else 1.0)
    return float(np.mean(precisions))


@pytest.mark.parametrize("seed", range(5))
class TestMetrics:
    def test_micro_f1(self, seed: int) -> None:
        truth, scores = drawn(20, 4, seed=seed)
        assert micro_f1(truth, scores > 0.5) == pytest.approx(naive_micro_f1(truth, scores > 0.5))

    def test_macro_f1(self, seed: int) -> None:
        truth, scores = drawn(20, 4, seed=seed)
        passes = scores > 0.5
        of_labels = [naive_f1(list(zip(truth[:, c], passes[:, c], strict=True))) for c in range(4)]
        assert (truth | passes).any(axis=0).all()
        assert macro_f1(truth, passes) == pytest.approx(np.mean(of_labels))

    def test_label_ranking(self, seed: int) -> None:
        truth, scores = drawn(20, 4, seed=seed)
        found = label_ranking_average_precision(truth, scores)
        assert found == pytest.approx(naive_label_ranking(truth, scores))

    def test_no_thresholds_are_better(self, seed: int) -> None:
        truth, scores = drawn(8, 3, seed=seed)
        found = micro_f1(truth, scores >= best_thresholds(truth, scores))
        values = [*np.unique(scores), 2.0]
        others = (micro_f1(truth, scores >= np.array(row)) for row in product(values, repeat=3))
        assert found == pytest.approx(max(others))


def test_what_has_no_value_is_zero() -> None:
    nothing = np.zeros((3, 2), bool)
    assert micro_f1(nothing, nothing) == macro_f1(nothing, nothing) == 0


def test_thresholds_part_scores_halfway() -> None:
    truth = np.array([[True, False, False], [True, False, True], [False, False, True], [False, False, False]])
    scores = np.array([[0.9, 0.2, 0.8], [0.7, 0.4, 0.6], [0.3, 0.1, 0.5], [0.1, 0.3, 0.7]])
    thresholds = best_thresholds(truth, scores)
    assert thresholds[0] == pytest.approx(0.5)
    assert thresholds[1] == 0.5  # of a label that no text has
    assert micro_f1(truth, scores >= thresholds) == pytest.approx(0.8)


class TestLosses:
    def test_cross_entropy_is_over_the_texts_whose_labels_are_known(self) -> None:
        logits, labels = torch.randn(4, 3), torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [torch.nan] * 3])
        expected = functional.binary_cross_entropy_with_logits(logits[:3], labels[:3]) * 3
        assert float(binary_cross_entropy(0.0)(logits, labels)) == pytest.approx(float(expected), rel=1e-5)
        assert float(binary_cross_entropy(0.0)(logits[3:], labels[3:])) == 0

    def test_soft_loss_is_the_written_out_sum(self) -> None:
        ours, theirs, t = torch.randn(5, 3).double(), torch.randn(5, 3).double(), 3.0
        p, q = torch.sigmoid(theirs / t), torch.sigmoid(ours / t)
        terms = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        expected = t**2 * float(terms.sum()) / 5
        assert float(soft_labels_loss(ours, theirs, t)) == pytest.approx(expected, rel=1e-6)

    def test_soft_loss_of_sure_logits_is_finite(self) -> None:
        sure = torch.tensor([[200.0, -200.0]])
        assert torch.isfinite(soft_labels_loss(-sure, sure, 1.0))


class TestSplits:
    def test_matrix_of_lists(self) -> None:
        assert label_matrix([[0, 2], [], [1]], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]

    def test_unlabeled_rows_join_labelled_ones(self) -> None:
        dev = make_data(TASK).dev
        joined = concatenate(subset(dev, np.arange(2)), replace(subset(dev, np.arange(3)), labels=None))
        assert joined.labels is not None
        assert joined.labels.shape == (5, 3)
        assert np.isfinite(joined.labels).all(axis=1).tolist() == [True, True, False, False, False]

    def test_baseline_is_the_best_constant_answer(self) -> None:
        dev = make_data(TASK).dev
        assert dev.labels is not None
        truth = dev.labels > 0
        constants = [np.array(row) for row in product([False, True], repeat=3)]
        best = max(micro_f1(truth, np.broadcast_to(row, truth.shape)) for row in constants)
        assert IMPLEMENTATIONS[TASK].baseline(dev) == pytest.approx(best)

    def test_agreement_counts_the_labels_that_pass(self) -> None:
        ours = np.array([[3.0, -3.0, -3.0], [-3.0, 3.0, -3.0]], np.float32)
        theirs = np.array([[3.0, -3.0, -3.0], [-3.0, -3.0, -3.0]], np.float32)
        thresholds = [0.5, 0.5, 0.5]
        agreement = IMPLEMENTATIONS[TASK].agreement
        assert agreement(ours, ours, thresholds) == 1
        assert agreement(ours, theirs, thresholds) == pytest.approx(2 / 3)
        assert agreement(-np.abs(ours), -np.abs(theirs), thresholds) == 1


def test_the_main_metric_is_the_one_that_thresholds_are_chosen_for() -> None:
    assert TASKS[TASK].main_metric == "micro_f1"
