from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents.manifest import OnnxExport
from app.domain.documents.report import ModelReport
from app.domain.errors import JobError
from app.domain.tasks import Head
from tests.tiny import LABELS
from tests.worker.tiny_networks import classifier, dev_split
from worker.contracts import TokenizedSplit
from worker.data.batches import collate
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder
from worker.evaluation.latency import measure_latency
from worker.evaluation.quality import quality, trivial_baseline
from worker.evaluation.report import compare_models
from worker.export.onnx_export import export_onnx
from worker.tasks.metrics import (
    accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    matthews,
    pearson,
    spearman,
)
from worker.tasks.text_classification import classification_metrics

CPU = torch.device("cpu")
HEAD = Head(task="text_classification", outputs=2)


def draw_labels(classes: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions that agree more often than chance."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, 200)
    guesses = generator.integers(0, classes, 200)
    return labels, np.where(generator.random(200) < 0.5, labels, guesses)


def naive_macro_f1(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    scores = []
    for c in range(classes):
        hits = sum(1 for y, p in zip(labels, predictions, strict=True) if y == c and p == c)
        claimed = sum(1 for p in predictions if p == c)
        real = sum(1 for y in labels if y == c)
        if claimed + real == 0:
            continue
        precision = hits / claimed if claimed else 0.0
        recall = hits / real if real else 0.0
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return sum(scores) / len(scores)


def naive_matthews(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    """Covariance of one-hot vectors over the root of their variances, as Gorodkin defines it."""
    x = np.eye(classes)[labels]
    y = np.eye(classes)[predictions]
    covariance = [np.cov(a, b, bias=True) for a, b in zip(x.T, y.T, strict=True)]
    xy = sum(c[0, 1] for c in covariance)
    xx = sum(c[0, 0] for c in covariance)
    yy = sum(c[1, 1] for c in covariance)
    return xy / np.sqrt(xx * yy)


class TestMetrics:
    @pytest.mark.parametrize("classes", [2, 3, 7])
    def test_equal_their_definitions(self, classes: int) -> None:
        labels, predictions = draw_labels(classes, seed=classes)
        same = sum(1 for y, p in zip(labels, predictions, strict=True) if y == p)
        assert accuracy(labels, predictions) == pytest.approx(same / 200)
        assert macro_f1(labels, predictions, classes) == pytest.approx(
            naive_macro_f1(labels, predictions, classes)
        )
        assert matthews(labels, predictions, classes) == pytest.approx(
            naive_matthews(labels, predictions, classes)
        )

    def test_f1_is_that_of_the_second_of_two_labels(self) -> None:
        labels, predictions = draw_labels(2, seed=2)
        hits = sum(1 for y, p in zip(labels, predictions, strict=True) if y == p == 1)
        precision, recall = hits / sum(predictions), hits / sum(labels)
        assert f1(labels, predictions) == pytest.approx(2 * precision * recall / (precision + recall))
        assert f1(np.zeros(3, np.int64), np.zeros(3, np.int64)) == 0
        for classes, there in ((2, True), (3, False)):
            split = replace(dev_split(3), labels=np.array([1, 0, 0]))
            logits = np.zeros((3, classes), np.float32)
            assert ("f1" in classification_metrics(split, logits, [], ())) == there

    def test_macro_f1_leaves_out_a_class_that_never_occurs(self) -> None:
        labels, predictions = np.array([0, 0, 2]), np.array([0, 2, 2])
        assert macro_f1(labels, predictions, 4) == pytest.approx(naive_macro_f1(labels, predictions, 4))

    def test_matthews_is_one_minus_one_or_zero_at_the_extremes(self) -> None:
        labels = np.array([0, 1, 1, 0])
        assert matthews(labels, labels, 2) == pytest.approx(1)
        assert matthews(labels, 1 - labels, 2) == pytest.approx(-1)
        assert matthews(labels, np.zeros(4, dtype=np.int64), 2) == 0

    def test_rows_of_the_confusion_matrix_are_labels(self) -> None:
        assert confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 2], [1, 0]]

    def test_classification_takes_the_largest_logit(self) -> None:
        logits = np.array([[0.1, 0.2, -3], [5, 1, 1], [0, 0, 1]], dtype=np.float32)
        split = replace(dev_split(3), labels=np.array([1, 0, 0]))
        assert classification_metrics(split, logits, ["a", "b", "c"], ())["accuracy"] == pytest.approx(2 / 3)

    def test_baseline_is_the_share_of_the_largest_class(self) -> None:
        split = replace(dev_split(5), labels=np.array([2, 2, 0, 1, 2]))
        assert trivial_baseline("text_classification", split) == pytest.approx(0.6)

    def test_correlations_are_those_of_the_textbook(self) -> None:
        generator = np.random.default_rng(0)
        scores = generator.integers(0, 6, 200).astype(np.float32)  # many ties
        guesses = (scores + generator.normal(size=200)).astype(np.float32)
        assert pearson(scores, guesses) == pytest.approx(np.corrcoef(scores, guesses)[0, 1], abs=1e-6)
        ranks = [[(np.sum(v < x) + np.sum(v <= x) + 1) / 2 for x in v] for v in (scores, guesses)]
        assert spearman(scores, guesses) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-5)
        assert spearman(scores, np.zeros_like(scores)) == 0


class TestLogits:
    def test_batches_by_length_answer_as_one_text_at_a_time(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        export_onnx(network, tmp_path / "model.onnx")
        split = dev_split(50)
        with torch.no_grad():
            alone = np.concatenate(
                [
                    network(**collate(split, np.array([row]), pad_id=0, device=CPU).inputs).logits.numpy()
                    for row in range(50)
                ]
            )
        torch_logits = predict_logits(network, split, pad_id=0, device=CPU, batch_size=8)
        onnx_logits = ExportedEncoder(tmp_path / "model.onnx").logits(split, pad_id=0, batch_size=8)
        np.testing.assert_allclose(torch_logits, alone, atol=1e-5)
        np.testing.assert_allclose(onnx_logits, alone, atol=1e-5)

    def test_a_network_in_training_is_evaluated_without_dropout_and_put_back(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model").train()
        split = dev_split(8)
        first = predict_logits(network, split, pad_id=0, device=CPU)
        assert (first == predict_logits(network, split, pad_id=0, device=CPU)).all()
        assert network.training

    @pytest.mark.parametrize("fault", [np.nan, np.inf])
    def test_logits_that_are_not_numbers_mean_divergence(self, fault: float) -> None:
        split = dev_split(4)
        logits = np.zeros((4, 2), dtype=np.float32)
        logits[2, 0] = fault
        with pytest.raises(JobError, match="1 of 4 predictions") as caught:
            quality("text_classification", split, logits, labels=LABELS)
        assert caught.value.code == "training_diverged"


class TimedModel:
    """A model that takes 10 ms for a text, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.runs: Counter[int] = Counter()
        monkeypatch.setattr("worker.evaluation.latency.time.perf_counter", lambda: self.now)

    def feed(self, _split: TokenizedSplit, rows: np.ndarray, *, pad_id: int) -> dict[str, np.ndarray]:
        return {"rows": rows}

    def run(self, feed: dict[str, np.ndarray]) -> None:
        texts = len(feed["rows"])
        self.runs[texts] += 1
        self.now += texts * 10e-3


class TestLatency:
    def test_is_given_for_each_batch_size(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        export_onnx(network, tmp_path / "model.onnx")
        model = ExportedEncoder(tmp_path / "model.onnx")
        latency_ms = measure_latency(model, dev_split(10), pad_id=0, batch_sizes=(1, 32), seconds=0.2)
        assert list(latency_ms) == ["1", "32"]
        assert 0 < latency_ms["1"] < latency_ms["32"]

    def test_is_bounded_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = TimedModel(monkeypatch)
        latency_ms = measure_latency(model, dev_split(10), pad_id=0, batch_sizes=(1, 32), seconds=0.205)
        assert latency_ms == pytest.approx({"1": 10, "32": 320})
        assert model.runs == {1: 21, 32: 2}, "two runs at least"
        assert measure_latency(model, dev_split(10), pad_id=0, batch_sizes=(2,), seconds=60)
        assert model.runs[2] == 100, "enough for a median"
        assert measure_latency(model, dev_split(10), pad_id=0, batch_sizes=(50,), seconds=60)
        assert model.runs[50] == 20, "of as many texts"


class TestReport:
    def test_ratios_say_how_many_times_smaller_and_faster(self) -> None:
        architecture = EncoderArchitecture(
            family="bert",
            shape=EncoderShape(layers=4, hidden=64, heads=4, ffn=256),
            vocabulary=100,
            positions=64,
            token_types=2,
        )
        small = architecture.at(EncoderShape(layers=2, hidden=32, heads=2, ffn=128))

        def report(
            architecture: EncoderArchitecture, accuracy: float, size_bytes: int, latency_ms: float
        ) -> ModelReport:
            export = OnnxExport(
                file="model.fp32.onnx",
                size_bytes=size_bytes,
                max_logit_difference=0,
                label_agreement=1,
                latency_ms={"1": latency_ms},
            )
            return ModelReport.of(
                architecture, head=HEAD, quality={"dev": {"accuracy": accuracy}}, exports={"fp32": export}
            )

        teacher, student = report(architecture, 0.9, 800, 6.0), report(small, 0.81, 100, 1.5)
        ratios = compare_models(teacher, student, metric="accuracy")
        assert ratios.parameters == architecture.count(head=HEAD).total / small.count(head=HEAD).total
        assert ratios.size == {"fp32": 8}
        assert ratios.latency == {"fp32": {"1": 4}}
        assert ratios.quality == {"dev": pytest.approx(0.9)}
