"""Registered models with real exports, and a live server that serves them."""

from collections.abc import Callable, Iterator
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


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    return Settings(data_dir=tmp_path, database_url=sqlite_url, inference_threads=2)


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


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def server_url(app: FastAPI) -> Iterator[str]:
    """The app behind a real server on a free port."""
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def client(server_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server_url) as client:
        yield client


def predict(client: httpx.Client, model_id: str, inputs: Any, **parameters: Any) -> httpx.Response:
    body = {"inputs": inputs, "parameters": parameters}
    return client.post(f"/v1/models/{model_id}/predict", json=body)
