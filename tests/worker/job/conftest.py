"""Jobs in the tests' own process measure latencies from few runs, for what they find does not matter here.

Neither does what else the machine does: tests run beside one another.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.tiny import tiny_model_folder
from tests.worker.requests import Shelf, run_here
from worker.evaluation import calm
from worker.evaluation.latency import measure_latency
from worker.job import evaluator
from worker.runner.protocol import DatasetRef, ModelRef, Succeeded


@pytest.fixture(scope="package", autouse=True)
def _short_measurements() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "measure_latency", partial(measure_latency, seconds=0.02))
        patch.setattr(calm, "time_hashes", lambda _threads: [1.0])
        yield


@pytest.fixture(scope="package")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="package")
def dataset(shelf: Shelf) -> DatasetRef:
    return shelf.add_dataset()


@pytest.fixture(scope="package")
def encoder(shelf: Shelf) -> ModelRef:
    return shelf.add_model(tiny_model_folder(shelf.root / "encoder"))


@pytest.fixture(scope="package")
def teacher(shelf: Shelf, encoder: ModelRef, dataset: DatasetRef) -> ModelRef:
    """Made by the pipeline itself, out of the encoder."""
    request = shelf.request(encoder, dataset, "fine_tuning", training={"learning_rate": 2e-3, "epochs": 8})
    outcome, _ = run_here(request, shelf.root / "teacher")
    assert isinstance(outcome, Succeeded), outcome
    return ModelRef(id=request.student_id, manifest=outcome.manifest)
