"""The API as a client meets it: over HTTP, on a migrated database, a real broker and a folder of files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.core.db import Database
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job
from app.core.db.models import Model
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import empty_tables
from tests.tiny import LABELS, tiny_dataset_files, tiny_model_folder, zipped


@dataclass
class Api:
    """A running app and what stands behind it."""

    http: TestClient
    app: FastAPI

    @property
    def database(self) -> Database:
        return self.app.state.database

    def stored(self) -> list[str]:
        """The keys of every stored file."""
        return self.app.state.storage.keys("")

    def forget_everything(self) -> None:
        empty_tables(self.database)
        self.app.state.storage.delete_files(self.stored())

    def rows(self) -> dict[str, int]:
        with self.database.transaction() as session:
            return {
                table.__tablename__: session.scalar(select(func.count()).select_from(table))
                for table in (Model, Dataset, Job)
            }

    def upload_model(self, archive: Path, name: str = "tiny") -> httpx.Response:
        with archive.open("rb") as file:
            return self.http.post("/v1/models", files={"file": (archive.name, file)}, data={"name": name})

    def upload_dataset(self, files: dict[str, Path], name: str = "tiny", **form: str) -> httpx.Response:
        uploads = {split: (path.name, path.read_bytes()) for split, path in files.items()}
        return self.http.post("/v1/datasets", files=uploads, data={"name": name, **form})


def make_settings(folder: Path, **changes: Any) -> Settings:
    return Settings(data_dir=folder / "data", **changes)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, redis_server_url: str) -> Settings:
    folder = tmp_path_factory.mktemp("api")
    return make_settings(folder, database_url=postgres_url, broker_url=redis_server_url)


@pytest.fixture(scope="module")
def running_api(settings: Settings) -> Iterator[Api]:
    """One for all tests of a module: to start it takes longer than most of them do."""
    yield from run_api(settings)


@pytest.fixture
def api(running_api: Api, redis_url: str) -> Api:
    """The app on PostgreSQL, without rows, files and announcements of earlier tests."""
    running_api.forget_everything()
    return running_api


@pytest.fixture
def api_on_both(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Api]:
    """The app on each database in turn."""
    yield from run_api(make_settings(tmp_path, database_url=database_url, broker_url=redis_url))


def run_api(settings: Settings) -> Iterator[Api]:
    app = create_app(settings)
    with local_client(app) as http:
        http.event_hooks = {"response": [check_described_status]}
        api = Api(http, app)
        empty_tables(api.database)
        yield api


def local_client(app: FastAPI) -> TestClient:
    """A client on this machine."""
    return TestClient(
        app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000), raise_server_exceptions=False
    )


def check_described_status(response: httpx.Response) -> None:
    """The API's description names the status of every answer that a test sees."""
    method, path = response.request.method.lower(), response.request.url.path
    for pattern, operations in described_operations():
        if method in operations and pattern.fullmatch(path):
            operation = operations[method]
            assert str(response.status_code) in operation["responses"], (
                f"{operation['operationId']} answers with {response.status_code}"
            )


@cache
def described_operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Operations by method, with the pattern of their path; writing the description takes a while."""
    paths = create_app(Settings()).openapi()["paths"]
    return [(re.compile(re.sub(r"{[^}]+}", "[^/]+", path)), operations) for path, operations in paths.items()]


@pytest.fixture(scope="session")
def teacher_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with a classifier."""
    return zipped(tiny_model_folder(tmp_path_factory.mktemp("teacher") / "model", labels=LABELS))


@pytest.fixture(scope="session")
def encoder_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without a head."""
    return zipped(tiny_model_folder(tmp_path_factory.mktemp("encoder") / "model"))


@pytest.fixture(scope="session")
def dataset_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_dataset_files(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def teacher(api: Api, teacher_archive: Path) -> str:
    return api.upload_model(teacher_archive).json()["id"]


@pytest.fixture
def dataset(api: Api, dataset_files: dict[str, Path]) -> str:
    return api.upload_dataset(dataset_files).json()["id"]
