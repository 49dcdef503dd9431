"""One way to open an ONNX file, whoever asks."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents.manifest import Files, ModelManifest, OnnxExport
from app.domain.tasks import Head
from app.engine import sessions
from app.engine.threads import share_threads, threads_per_run, usable_cores
from app.inference.predictors.opening import open_predictor
from tests.tiny import LABELS, tiny_tokenizer
from tests.worker.tiny_networks import classifier, dev_data
from worker.export.exports import compare_exports, make_exports
from worker.job.evaluator import Evaluator
from worker.job.latency_probe import LatencyProbe
from worker.networks.loading import build_network

HEAD = Head(task="text_classification", outputs=2)
ARCHITECTURE = EncoderArchitecture(
    family="bert",
    shape=EncoderShape(layers=2, hidden=32, heads=2, ffn=64),
    vocabulary=tiny_tokenizer().get_vocab_size(),
    positions=64,
    token_types=2,
)

Opened = list[onnxruntime.SessionOptions]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The options of every session that is opened, none of which may come from elsewhere."""
    made: Opened = []
    own = sessions.session_options
    session = onnxruntime.InferenceSession

    def options(*, threads: int) -> onnxruntime.SessionOptions:
        made.append(own(threads=threads))
        return made[-1]

    class Session(session):
        def __init__(self, model: object, options: object = None, **rest: object) -> None:
            assert options is made[-1]
            super().__init__(model, options, **rest)

    monkeypatch.setattr(sessions, "session_options", options)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return made


def serve(folder: Path) -> None:
    manifest = ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=ARCHITECTURE,
        task="text_classification",
        labels=LABELS,
        parameters=1,
        max_length=32,
        exports={
            "fp32": OnnxExport(
                file="model.fp32.onnx", size_bytes=1, max_logit_difference=0, label_agreement=1
            )
        },
    )
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    make_exports(classifier(folder / "model"), ["fp32"], folder)
    threads = threads_per_run(ARCHITECTURE, HEAD)
    open_predictor(manifest, "fp32", fetch=lambda name: folder / name, threads=threads)


def check(folder: Path) -> None:
    network = classifier(folder / "model")
    compare_exports(network, make_exports(network, ["fp32"], folder), dev_data())


def evaluate(folder: Path) -> None:
    network = classifier(folder / "model")
    evaluator = Evaluator(data=dev_data(), test=None, device=network.device)
    candidate = evaluator.candidate(network, ARCHITECTURE)
    candidate.paths = make_exports(network, ["fp32"], folder)
    evaluator.compare_exports(candidate)
    evaluator.measure_latency(candidate)


def probe(folder: Path) -> None:
    config = classifier(folder / "model").config
    latency = LatencyProbe(
        lambda architecture, head: build_network(config, architecture, head),
        dev_data(),
        known=folder / "latencies.json",
    )
    latency(ARCHITECTURE, HEAD)


@pytest.mark.parametrize("use", [serve, check, evaluate, probe])
def test_options_are_the_same(use: Callable[[Path], None], opened: Opened, tmp_path: Path) -> None:
    use(tmp_path)
    assert opened
    for options in opened:
        assert options.intra_op_num_threads == threads_per_run(ARCHITECTURE, HEAD)
        assert options.inter_op_num_threads == 1
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert not options.enable_cpu_mem_arena
        assert not options.enable_mem_pattern


@pytest.mark.parametrize("use", [evaluate, probe])
def test_a_measured_run_has_the_threads_of_a_served_one(
    use: Callable[[Path], None], opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network is small or large by what a thread pays for."""
    monkeypatch.setattr("app.engine.threads.PARAMETERS_PER_THREAD", 1)
    served, _ = share_threads(usable_cores(), ARCHITECTURE, HEAD)
    assert served == usable_cores()
    use(tmp_path)
    assert {options.intra_op_num_threads for options in opened} == {served}


@pytest.mark.parametrize("module", ["app.engine.sessions", "worker.export.quantisation"])
def test_the_runtime_reports_to_nobody(module, tmp_path):
    """Its makers' telemetry would begin with a file in the home folder, on import."""
    environment = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k} | {"HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
