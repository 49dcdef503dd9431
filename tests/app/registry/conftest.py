"""A model folder to be spoilt, and what a refusal is."""

from pathlib import Path

import pytest

from tests.app.conftest import Api
from tests.tiny import LABELS, tiny_model_folder


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("pristine") / "model", labels=LABELS)


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A sound model folder, to be spoilt."""
    copy = tmp_path / "model"
    copy.mkdir()
    for path in pristine.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def refused(api: Api, archive: Path, code: str, *, status: int = 422) -> str:
    """The message of a refusal that left no row and no file."""
    response = api.upload_model(archive)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:squeeze:problem:{code}"), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert api.stored() == []
    assert api.rows() == {"models": 0, "datasets": 0, "jobs": 0}
    return problem["detail"]
