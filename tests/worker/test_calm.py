"""Latencies say whether other work was in the way."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents.manifest import OnnxExport
from tests.worker.tiny_networks import classifier, dev_data
from worker.evaluation.calm import time_hashes, watching_calm
from worker.job.evaluator import EvaluatedModel, Evaluator
from worker.job.latency_probe import LatencyProbe
from worker.job.latency_warnings import latency_warnings, probe_warnings

ARCHITECTURE = EncoderArchitecture(
    family="bert",
    shape=EncoderShape(layers=1, hidden=16, heads=1, ffn=32),
    vocabulary=100,
    positions=64,
    token_types=2,
)


def fixed(*probes: Sequence[float]):
    """Probes in turn that give these seconds."""
    left = iter(probes)
    return lambda _threads: next(left)


class TestSlowdown:
    def test_equal_times_are_calm(self):
        with watching_calm(1, probe=fixed([1.0, 1.0, 1.1], [1.0, 1.2])) as calm:
            pass
        assert calm.is_calm
        assert calm.slowdown == pytest.approx(1.1)
        assert calm.reason is None

    @pytest.mark.parametrize("probes", [([1, 1], [1, 3]), ([1, 3], [1, 1]), ([1, 1], [2, 2])])
    def test_other_work_before_or_after_is_not(self, probes):
        with watching_calm(1, probe=fixed(*probes)) as calm:
            pass
        assert not calm.is_calm
        assert calm.slowdown == 2
        assert "took 2.0 times as long as at its best" in calm.reason

    def test_the_probe_runs_in_all_threads(self):
        one, three = time_hashes(1), time_hashes(3)
        assert len(one) >= 1
        assert len(three) >= 3
        assert min(one + three) > 0


def export() -> OnnxExport:
    return OnnxExport(file="model.onnx", size_bytes=1, max_logit_difference=0, label_agreement=1)


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvaluatedModel]:
    """A model with two files, measured while the machine is as given."""
    monkeypatch.setattr("worker.job.evaluator.measure_latency", lambda *_, **__: {"1": 5.0})
    network = classifier(tmp_path / "model")

    def measured(**machines: Sequence[float]) -> EvaluatedModel:
        evaluator = Evaluator(data=dev_data(), test=None, device=network.device)
        model = evaluator.candidate(network, ARCHITECTURE)
        model.paths = dict.fromkeys(machines, tmp_path / "model.onnx")  # type: ignore[arg-type]
        model.opened = dict.fromkeys(machines)  # type: ignore[arg-type]
        model.exports = {precision: export() for precision in model.paths}
        probes = [times for times in machines.values() for _ in range(2)]
        monkeypatch.setattr("worker.evaluation.calm.time_hashes", fixed(*probes))
        evaluator.measure_latency(model)
        return model

    return measured


CALM, BUSY = [1.0, 1.0], [1.0, 3.0]


def test_it_stands_beside_the_latency(timed):
    model = timed(fp32=BUSY, int8=CALM)
    disturbed, calm = model.exports["fp32"], model.exports["int8"]
    assert disturbed.latency_ms == calm.latency_ms == {"1": 5.0}
    assert (disturbed.calm, calm.calm) == (False, True)
    assert calm.calm_reason is None
    assert "took 2.0 times as long" in (disturbed.calm_reason or "")


def test_a_client_is_warned_once(timed):
    teacher, student = timed(fp32=CALM, int8=BUSY), timed(fp32=BUSY)
    [warning] = latency_warnings(student=student, teacher=teacher)
    assert "(teacher's int8, student's fp32): take it as an upper bound" in warning
    assert "took 2.0 times as long as at its best" in warning
    assert list(latency_warnings(student=timed(fp32=CALM), teacher=None)) == []


@pytest.mark.parametrize(("machine", "count"), [(CALM, 0), (BUSY, 1)])
def test_a_student_that_was_chosen_by_latency(tmp_path, monkeypatch, machine, count):
    monkeypatch.setattr("worker.job.latency_probe.make_exports", lambda *_: {"fp32": None})
    monkeypatch.setattr("worker.job.latency_probe.open_export", lambda *_, **__: None)
    monkeypatch.setattr("worker.job.latency_probe.measure_latency", lambda *_, **__: {"1": 5.0})
    monkeypatch.setattr("worker.evaluation.calm.time_hashes", lambda _: machine)
    probe = LatencyProbe(lambda *_: None, dev_data(), known=tmp_path / "latencies.json")
    assert probe(ARCHITECTURE, dev_data().head) == 5.0
    assert len(list(probe_warnings(probe))) == count
