"""Registered models with real exports, and a live server that serves them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.db import Database
from app.core.db.models import Model
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents.manifest import ModelManifest
from app.domain.tasks import Task
from app.main import create_app
from tests.app.inference.models import MAX_LENGTH, NAMES, Folders, architecture_of, export_of, make_folder
from tests.app.serving import serving

Register = Callable[..., str]


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The folder of a small model of a family and task, exported in both precisions; made once a session."""
    made: dict[tuple[str, Task], Path] = {}

    def make(family: str = "bert", task: Task = "text_classification") -> Path:
        if (family, task) not in made:
            made[family, task] = tmp_path_factory.mktemp("model")
            make_folder(made[family, task], task, family)
        return made[family, task]

    return make


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture
def settings(request: pytest.FixtureRequest, data_dir: Path, tmp_path: Path, sqlite_url: str) -> Settings:
    if request.node.get_closest_marker("own_server"):
        data_dir = tmp_path
    return Settings(data_dir=data_dir, database_url=sqlite_url, inference_threads=2)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.from_url(settings.resolved_storage_url)


@pytest.fixture
def inference_database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.resolved_database_url)
    yield database
    database.dispose()


@pytest.fixture
def register(inference_database: Database, storage: Storage, exported_folder: Folders) -> Register:
    """Put a model into store and registry, as a finished job does."""

    def put(
        family: str = "bert",
        *,
        task: Task = "text_classification",
        exports: tuple[str, ...] = ("fp32", "int8"),
        thresholds: list[float] | None = None,
        is_pair: bool | None = None,
    ) -> str:
        folder = exported_folder(family, task)
        with inference_database.transaction() as session:
            model = Model(name="tiny", origin="job", manifest_json={})
            session.add(model)
            session.flush()  # gives the id
            manifest = ModelManifest(
                files=storage.put_folder(f"models/{model.id}", folder),
                architecture=architecture_of(task),
                task=task,
                labels=NAMES[task],
                thresholds=thresholds,
                is_pair=is_pair,
                parameters=1,
                max_length=MAX_LENGTH,
                exports={precision: export_of(task, precision) for precision in exports},
            )
            model.manifest_json = manifest.to_stored()
            return model.id

    return put


@dataclass(frozen=True)
class Served:
    """The app behind a real server on a free port, and a client of it."""

    app: FastAPI
    client: httpx.Client


@pytest.fixture(scope="module")
def served_with() -> Iterator[Callable[[Settings], Served]]:
    """One server for all tests of a module with the same settings: to start it takes longer than most do."""
    with ExitStack() as stack:
        started: dict[str, Served] = {}

        def serve(settings: Settings) -> Served:
            key = settings.model_dump_json()
            if key not in started:
                app = create_app(settings)
                url = f"http://127.0.0.1:{stack.enter_context(serving(app))}"
                started[key] = Served(app, stack.enter_context(httpx.Client(base_url=url)))
            return started[key]

        yield serve


@pytest.fixture
def served(settings: Settings, served_with: Callable[[Settings], Served]) -> Served:
    return served_with(settings)


@pytest.fixture
def app(served: Served) -> FastAPI:
    return served.app


@pytest.fixture
def client(served: Served) -> httpx.Client:
    return served.client


@pytest.fixture
def server_url(client: httpx.Client) -> str:
    return str(client.base_url)


def predict(client: httpx.Client, model_id: str, inputs: Any, **parameters: Any) -> httpx.Response:
    body = {"inputs": inputs, "parameters": parameters}
    return client.post(f"/v1/models/{model_id}/predict", json=body)
