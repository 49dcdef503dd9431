"""The console's files, as a browser is given them."""

import fnmatch
import gzip
import re
import tomllib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.console.built_files import FOLDER, HASHED, INDEX
from app.core.settings import Settings
from app.main import create_app

ROOT = Path(__file__).parents[2]
MOST_COMPRESSED_BYTES = 300_000


@pytest.fixture(scope="module")
def http() -> TestClient:
    """An app that has not been started: files need no database."""
    return TestClient(create_app(Settings()), raise_server_exceptions=False)


def entry() -> list[str]:
    """What a browser loads before it shows the first page."""
    return re.findall(r'(?:src|href)="/console/([^"]+)"', (FOLDER / INDEX).read_text())


def test_a_fresh_clone_has_them():
    names = entry()
    assert {Path(name).suffix for name in names} == {".svg", ".js", ".css"}
    assert all((FOLDER / name).is_file() for name in names)


def test_the_first_load_is_small():
    files = [FOLDER / name for name in (INDEX, *entry())]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_COMPRESSED_BYTES


def test_the_wheel_carries_them():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["app.console"]
    for path in FOLDER.rglob("*"):
        name = path.relative_to(FOLDER.parent).as_posix()
        assert path.is_dir() or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns), name


@pytest.mark.parametrize(
    "path", ["", "/", "/jobs", "/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV/report", "/../pyproject.toml"]
)
def test_any_path_of_a_page_has_the_page(http: TestClient, path: str):
    response = http.get(f"/console{path.replace('..', '%2e%2e')}")
    assert response.status_code == 200
    assert response.text == (FOLDER / INDEX).read_text()
    assert response.headers["cache-control"] == "no-cache"
    assert http.get("/console", headers={"if-none-match": response.headers["etag"]}).status_code == 304


def test_files_with_a_hash_in_their_name_are_kept(http: TestClient):
    name = next(name for name in entry() if name.endswith(".js"))
    assert name.startswith(HASHED)
    response = http.get(f"/console/{name}")
    assert response.content == (FOLDER / name).read_bytes()
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in response.headers["cache-control"]
    plain = http.get(f"/console/{name}", headers={"accept-encoding": "identity"})
    assert plain.content == response.content
    assert "content-encoding" not in plain.headers


def test_a_file_of_an_earlier_version_is_missing(http: TestClient):
    response = http.get("/console/assets/index-00000000.js")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_pages_run_and_load_nothing_else(http: TestClient):
    response = http.get("/console")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=|https?:", response.text)
