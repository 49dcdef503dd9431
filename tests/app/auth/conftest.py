"""An API to which everybody needs a key, and keys for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.projects import Project
from app.domain.scopes import Scope
from app.projects.service import create_key
from tests.app.conftest import Api, make_settings, run_api

Headers = dict[str, str]
NewKey = Callable[..., Headers]
OTHER_PROJECT = "prj_" + "1" * 26


@pytest.fixture(scope="module")
def closed_api(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for the tests of a module, with two projects."""
    folder: Path = tmp_path_factory.mktemp("closed")
    for api in run_api(make_settings(folder, database_url=sqlite_url, loopback_without_key=False)):
        with api.database.transaction() as session:
            session.add(Project(id=OTHER_PROJECT, name="other"))
        yield api


@pytest.fixture(scope="module")
def new_key(closed_api: Api) -> NewKey:
    """Makes a key and returns the header in which a client sends it."""

    def make(*scopes: Scope, project: str = DEFAULT_PROJECT) -> Headers:
        with closed_api.database.of(project).transaction() as session:
            _, token = create_key(session, name="test", scopes=scopes)
        return {"authorization": f"Bearer {token}"}

    return make
