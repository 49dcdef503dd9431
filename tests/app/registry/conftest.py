"""A model folder to be spoilt, and what taking and refusing one looks like."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from app.domain.documents.manifest import ModelManifest
from tests.app.conftest import Api
from tests.tiny import LABELS, tiny_model_folder, zipped


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


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder: Path, change: Callable[[dict], None]) -> None:
    """Change what ``model.safetensors`` holds, in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def accepted(api: Api, folder: Path) -> dict:
    """The model that an upload of a folder became."""
    response = api.upload_model(zipped(folder))
    model = response.json()
    assert response.status_code == 201, model
    return model


def downloaded(api: Api, model: dict, folder: Path) -> Path:
    """A model's files, as a client takes them away."""
    folder.mkdir()
    for name in model["manifest"]["files"]["entries"]:
        response = api.http.get(f"/v1/models/{model['id']}/artifacts/{name}")
        (folder / name).write_bytes(response.content)
    return folder


def parameters_by_arithmetic(model: dict) -> int:
    """As the planner counts them, who never sees the weights."""
    manifest = ModelManifest.model_validate(model["manifest"])
    assert manifest.head is not None
    return manifest.architecture.count(head=manifest.head).total


def refused(api: Api, archive: Path, code: str, *, status: int = 422) -> str:
    """The message of a refusal that left no row and no file."""
    response = api.upload_model(archive)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:squeeze:problem:{code}"), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert api.stored() == []
    assert api.rows() == {"models": 0, "datasets": 0, "jobs": 0}
    return problem["detail"]
