"""Every kind of encoder, the whole way: uploaded, taught, compressed, exported, served."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.architectures import ENCODERS, EncoderShape
from tests.app.conftest import Api, run_api
from tests.families import EACH_LAYOUT, narrow_as
from tests.tiny import tiny_dataset_files, tiny_model_folder, zipped
from tests.tiny_tokenizers import tokenizer_of
from tests.worker.requests import run_here
from worker.runner import queue_tasks
from worker.runner.protocol import JobRequest
from worker.runner.shutdown import Shutdown
from worker.runner.supervisor import Ending
from worker.runner.worker import Worker

TEACHER = EncoderShape(layers=2, hidden=32, heads=4, ffn=64)
STUDENT = {"layers": 1, "hidden": 16, "heads": 2, "ffn": 32}
TRAINING = {"epochs": 16, "batch_size": 32, "max_length": 48, "evaluations": 2, "learning_rate": 4e-3}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sqlite_url: str) -> Iterator[Api]:
    yield from run_api(Settings(data_dir=tmp_path_factory.mktemp("data"), database_url=sqlite_url))


@pytest.fixture(scope="module")
def worker(api: Api) -> Iterator[Worker]:
    """A worker that runs its jobs in this process, which saves the time to start others."""

    def run(request: JobRequest, *, workdir: Path, storage: Storage, **_: Any) -> Ending:
        return run_here(request, workdir, storage=storage)[0]

    state = api.app.state
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_tasks, "supervise", run)
        yield Worker("worker", state.settings, state.database, state.storage, state.queue, Shutdown())


@pytest.fixture(scope="module")
def dataset(api: Api, tmp_path_factory: pytest.TempPathFactory) -> str:
    files = tiny_dataset_files(tmp_path_factory.mktemp("dataset"), train=256, dev=64)
    response = api.upload_dataset(files, task="text_classification")
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def finish(api: Api, worker: Worker, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job that succeeded, and the model that came of it."""
    created = api.http.post(
        "/v1/jobs", json={"training": TRAINING, "exports": ["fp32"], "controls": False} | spec
    )
    assert created.status_code in (201, 202), created.text
    assert queue_tasks.run_next_job(worker)
    job = api.http.get(f"/v1/jobs/{created.json()['id']}").json()
    assert (job["status"], job["error"]) == ("succeeded", None)
    return job, api.http.get(f"/v1/models/{job['student']}").json()


@pytest.mark.parametrize("family", EACH_LAYOUT)
def test_an_encoder_is_taught_compressed_and_served(
    api: Api, worker: Worker, dataset: str, tmp_path: Path, family: str
) -> None:
    shape = narrow_as(family, TEACHER)
    folder = tiny_model_folder(
        tmp_path / "model",
        family=family,
        tokenizer=tokenizer_of(family),
        **shape.model_dump(exclude_none=True),
    )
    uploaded = api.upload_model(zipped(folder))
    assert uploaded.status_code == 201, uploaded.text
    encoder = uploaded.json()
    assert (encoder["architecture"], encoder["task"]) == (family, None)
    assert encoder["shape"] == shape.model_dump()

    _, teacher = finish(api, worker, teacher=encoder["id"], dataset=dataset, method={"name": "fine_tuning"})
    assert (teacher["architecture"], teacher["task"]) == (family, "text_classification")
    shares_layers = ENCODERS[family].stack.shares_layers
    squeezing = {"name": "weight_squeezing", "initial_map": "select" if shares_layers else "pca"}
    job, student = finish(
        api,
        worker,
        teacher=teacher["id"],
        dataset=dataset,
        method=squeezing,
        target={"shape": STUDENT},
        exports=["fp32", "int8"],
    )
    assert student["architecture"] == family
    assert student["shape"] == narrow_as(family, EncoderShape(**STUDENT)).model_dump()
    for whose in ("teacher", "student"):
        assert job["metrics"][whose]["quality"]["dev"]["accuracy"] > 0.75
        assert set(job["metrics"][whose]["exports"]) == {"fp32", "int8"}
    for precision in ("fp32", "int8"):
        answers = ask(api, student, ["this film wonderful superb", "a story dull awful"], precision)
        assert [answer[0]["label"] for answer in answers] == ["positive", "negative"]


def ask(api: Api, model: dict[str, Any], texts: list[str], precision: str) -> list[Any]:
    body = {"inputs": texts, "parameters": {"precision": precision}}
    response = api.http.post(f"/v1/models/{model['id']}/predict", json=body)
    assert response.status_code == 200, response.text
    return list(response.json())
