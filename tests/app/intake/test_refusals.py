"""What a client reads of an upload that used up what the process that reads it may use."""

from pathlib import Path

import pytest

from app.intake.datasets import upload as datasets
from app.intake.limited_process import LimitExceededError
from app.intake.models import upload as models
from tests.app.conftest import Api, make_settings, run_api


@pytest.fixture
def api(tmp_path: Path, sqlite_url: str):
    yield from run_api(make_settings(tmp_path, database_url=sqlite_url))


def exceeding(monkeypatch: pytest.MonkeyPatch, reason: str, step: str = "") -> None:
    def run_limited(*_args, **_options):
        raise LimitExceededError(reason, step=step)

    for module in (models, datasets):
        monkeypatch.setattr(module, "run_limited", run_limited)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("memory", "needs more than 2 GiB of memory"),
        ("CPU time", "takes more than 30 s of CPU time"),
        ("crash", "crashes the library"),
    ],
)
def test_a_model(api: Api, encoder_archive: Path, monkeypatch: pytest.MonkeyPatch, reason: str, says: str):
    exceeding(monkeypatch, reason)
    response = api.upload_model(encoder_archive)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "urn:squeeze:problem:upload_too_expensive")
    assert f"Reading the model {says}" in problem["detail"]
    assert problem["reason"] == reason
    assert (api.stored(), api.rows()["models"]) == ([], 0)


def test_a_tokenizer(api: Api, encoder_archive: Path, monkeypatch: pytest.MonkeyPatch):
    exceeding(monkeypatch, "memory", "tokenizer")
    problem = api.upload_model(encoder_archive).json()
    assert problem["type"] == "urn:squeeze:problem:invalid_tokenizer"
    assert "too expensive to load or to run (memory)" in problem["detail"]


def test_a_data_set(api: Api, dataset_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    exceeding(monkeypatch, "memory")
    response = api.upload_dataset(dataset_files)
    assert response.status_code == 422
    assert "Reading the tables needs more than 4 GiB of memory" in response.json()["detail"]
    assert (api.stored(), api.rows()["datasets"]) == ([], 0)
