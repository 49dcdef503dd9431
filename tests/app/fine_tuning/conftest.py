"""A running server to which everybody needs a key, and OpenAI's own client with the keys of two projects."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.projects import Project
from app.main import create_app
from app.projects.service import create_key
from tests.app.auth.conftest import OTHER_PROJECT
from tests.app.conftest import Api, make_settings
from tests.app.serving import serving
from tests.conftest import empty_tables


@pytest.fixture(scope="module")
def server(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("server")
    app = create_app(make_settings(folder, database_url=sqlite_url, loopback_without_key=False))
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        api = Api(http, app)  # type: ignore[arg-type]
        empty_tables(api.database)
        with api.database.transaction() as session:
            session.add(Project(id=OTHER_PROJECT, name="other"))
        yield api


def client_of(server: Api, project_id: str) -> openai.OpenAI:
    with server.database.of(project_id).transaction() as session:
        _, token = create_key(session, name="test", scopes=["write"])
    return openai.OpenAI(base_url=f"{server.http.base_url}/v1", api_key=token, max_retries=0)


@pytest.fixture(scope="module")
def client(server: Api) -> Iterator[openai.OpenAI]:
    with client_of(server, DEFAULT_PROJECT) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(server: Api) -> Iterator[openai.OpenAI]:
    """With a key of another project."""
    with client_of(server, OTHER_PROJECT) as client:
        yield client
