"""The whole service in processes of its own: alone on one machine, and as in production."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.db import Database
from app.core.settings import Settings
from app.embedded import Service, free_port, running, settings_environment
from benchmarks.servers import BUCKET, s3_server
from tests.conftest import empty_tables, new_postgres_database
from tests.processes import wait_until
from tests.tiny import tiny_bert_folder, tiny_dataset_files, zipped

SHAPE = {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}
Json = dict[str, Any]


@dataclass(frozen=True)
class StartedWorker:
    process: subprocess.Popen[bytes]
    log: Path

    def is_ready(self) -> bool:
        return "is ready for jobs" in self.log.read_text()


@dataclass
class Stack:
    """An API that runs, and workers as tests need them."""

    settings: Settings
    environment: dict[str, str]
    log_dir: Path
    http: httpx.Client
    processes: ExitStack
    workers: list[StartedWorker] = field(default_factory=list)

    def have_workers(self, count: int) -> list[subprocess.Popen[bytes]]:
        """So many that are ready, and no others. To start one takes seconds: those of earlier tests go on."""
        alive = [worker for worker in self.workers if worker.process.poll() is None]
        for worker in alive[count:]:
            worker.process.terminate()
            assert worker.process.wait(timeout=30) == 0, self.logs()
        chosen = alive[:count]
        chosen += [self.start_worker() for _ in range(count - len(chosen))]
        for worker in chosen:
            wait_until(worker.is_ready, timeout_s=60)
        return [worker.process for worker in chosen]

    def start_worker(self, **settings: str) -> "StartedWorker":
        log = self.log_dir / f"worker-{len(self.workers)}.log"
        command = [sys.executable, "-P", "-m", "worker.runner.main"]
        running_worker = running(command, environment=self.environment | settings, log=log)
        worker = StartedWorker(self.processes.enter_context(running_worker), log)
        self.workers.append(worker)
        return worker

    @contextmanager
    def beside(self, source: Path) -> Iterator["Stack"]:
        """Another version of the service on the same stores: its API, and whatever workers are started."""
        environment = self.environment | {
            "PYTHONPATH": os.pathsep.join([str(source), str(source / "client")]),
            "SQUEEZE_PORT": str(free_port()),
        }
        with ExitStack() as processes:
            http = processes.enter_context(running_api(environment, self.log_dir / f"api-{source.name}.log"))
            yield replace(self, environment=environment, http=http, processes=processes)

    def forget_everything(self) -> None:
        database = Database(self.settings.resolved_database_url)
        empty_tables(database)
        database.dispose()

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in sorted(self.log_dir.glob("*.log")))

    def post(self, path: str, **content: Any) -> Json:
        response = self.http.post(path, **content)
        assert response.is_success, response.text
        return response.json()

    def get(self, path: str) -> Json:
        response = self.http.get(path)
        assert response.is_success, response.text
        return response.json()

    def upload(self, folder: Path) -> tuple[Json, Json]:
        """A tiny encoder and a tiny data set."""
        model = self.upload_model(tiny_bert_folder(folder / "encoder"))
        splits = {split: path.read_bytes() for split, path in tiny_dataset_files(folder / "data").items()}
        return model, self.upload_dataset("text_classification", splits)

    def upload_dataset(self, task: str, splits: Mapping[str, bytes]) -> Json:
        """From JSON Lines."""
        return self.post(
            "/v1/datasets",
            data={"name": "data", "task": task},
            files={split: (f"{split}.jsonl", content) for split, content in splits.items()},
        )

    def upload_model(self, folder: Path) -> Json:
        with zipped(folder).open("rb") as file:
            return self.post("/v1/models", data={"name": folder.name}, files={"file": ("model.zip", file)})

    def download(self, model: Json, folder: Path) -> Path:
        """The files of a Hugging Face folder among a model's artifacts."""
        folder.mkdir()
        for name in model["manifest"]["files"]["entries"]:
            if not name.endswith(".onnx"):
                response = self.http.get(f"/v1/models/{model['id']}/artifacts/{name}").raise_for_status()
                (folder / name).write_bytes(response.content)
        return folder

    def predict(self, model: Json, inputs: Any, **parameters: Any) -> httpx.Response:
        body = {"inputs": inputs, "parameters": parameters}
        return self.http.post(f"/v1/models/{model['id']}/predict", json=body)

    def start_job(
        self, teacher: Json | None, dataset: Json, method: str | Json = "fine_tuning", **body: Any
    ) -> Json:
        training = {"epochs": 6, "batch_size": 32, "learning_rate": 6e-3, **body.pop("training", {})}
        job = {
            "dataset": dataset["id"],
            "method": method if isinstance(method, dict) else {"name": method},
            "controls": False,
        }
        if teacher is not None:
            job["teacher"] = teacher["id"]
        return self.post("/v1/jobs", json=job | body | {"training": training})

    def wait_for(self, job: Json, condition: Callable[[Json], bool], timeout_s: float = 120) -> Json:
        """The job once a condition holds for it."""
        deadline = time.monotonic() + timeout_s
        while not condition(job := self.get(f"/v1/jobs/{job['id']}")):
            assert time.monotonic() < deadline, f"{job}\n{self.logs()}"
            time.sleep(0.2)
        return job

    def wait_for_end(self, job: Json) -> Json:
        return self.wait_for(job, has_ended)


def has_ended(job: Json) -> bool:
    return job["status"] not in ("queued", "running")


def is_training(job: Json) -> bool:
    return job["status"] == "running" and (job["progress"] or {}).get("step", 0) > 0


@contextmanager
def running_api(environment: Mapping[str, str], log: Path) -> Iterator[httpx.Client]:
    """An API that is ready, as a client reaches it."""
    url = f"http://127.0.0.1:{environment['SQUEEZE_PORT']}"
    command = [sys.executable, "-P", "-m", "app.cli", "api"]
    with running(command, environment=environment, log=log) as api:
        Service(url, {"API": api}).wait_until_ready()
        with httpx.Client(base_url=url, timeout=60) as http:
            yield http


@contextmanager
def running_stack(
    folder: Path, stores: Mapping[str, str], credentials: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """An API on empty stores, quick to notice what happens."""
    quick = {"lease": timedelta(seconds=4), "heartbeat": timedelta(seconds=0.6)}
    quick |= {"sweep_interval": timedelta(seconds=1), "poll_interval": timedelta(seconds=0.2)}
    quick["retry_delay"] = timedelta(seconds=0.5)
    # A job that is cancelled ends by itself: it is killed only once a test has given it up.
    quick["cancel_grace"] = timedelta(minutes=10)
    settings = Settings(data_dir=folder / "data", port=free_port(), **stores, **quick)
    # Tests run two workers at once on few cores, where threads that spin keep each other waiting.
    environment = settings_environment(settings) | {"OMP_WAIT_POLICY": "PASSIVE"} | dict(credentials or {})
    log_dir = folder / "logs"
    log_dir.mkdir()
    with ExitStack() as processes:
        http = processes.enter_context(running_api(environment, log_dir / "api.log"))
        stack = Stack(settings, environment, log_dir, http, processes)
        stack.forget_everything()
        yield stack


@contextmanager
def local_stack(folder: Path, *, template: Path) -> Iterator[Stack]:
    """An API on a folder and SQLite, whose database is a copy of a migrated one."""
    path = shutil.copy(template, folder / "squeeze.db")
    with running_stack(folder, {"database_url": f"sqlite:///{path}"}) as stack:
        yield stack


@contextmanager
def production_stack(folder: Path, *, postgres_url: str, redis_url: str) -> Iterator[Stack]:
    """PostgreSQL, S3 and workers that a broker calls."""
    port = free_port()
    with s3_server(folder, port=port):
        stores = {
            "database_url": postgres_url,
            "broker_url": redis_url,
            "storage_url": f"s3://{BUCKET}/files",
            "s3_endpoint": f"http://127.0.0.1:{port}",
        }
        credentials = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        with running_stack(folder, stores, credentials) as stack:
            yield stack


@pytest.fixture(scope="package", params=["alone", "production"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """SQLite, a folder and workers that poll; or PostgreSQL, S3 and workers that a broker calls.

    It ends with the tests of this package: workers that wait take a twentieth of a core from the others.
    """
    folder = tmp_path_factory.mktemp("service")
    if request.param == "alone":
        with local_stack(folder, template=request.getfixturevalue("sqlite_template")) as stack:
            yield stack
        return
    server, template, redis_url = map(
        request.getfixturevalue, ("postgres_maintenance_url", "postgres_template", "redis_server_url")
    )
    with (
        new_postgres_database(server, template=template) as postgres_url,
        production_stack(folder, postgres_url=postgres_url, redis_url=redis_url) as stack,
    ):
        yield stack


@pytest.fixture
def stack(service: Stack) -> Iterator[Stack]:
    """The service without jobs."""
    yield service
    service.forget_everything()
