"""One service for all tests of the client and the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from squeeze_client import Dataset, Job, Model, Squeeze
from squeeze_client.command import run
from squeeze_client.effects import Sync

from tests.e2e.conftest import Stack, local_stack
from tests.tiny import LABELS, tiny_dataset_files, tiny_model_folder

TRAINING = {"epochs": 2, "batch_size": 32, "learning_rate": 2e-3}

Command = Callable[..., str]


@pytest.fixture(scope="package")
def service(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API and one worker on SQLite and a folder."""
    with local_stack(tmp_path_factory.mktemp("client"), template=sqlite_template) as stack:
        stack.start_worker()
        yield stack


@pytest.fixture(scope="package")
def url(service: Stack) -> str:
    return str(service.http.base_url)


@pytest.fixture(scope="package")
def client(url: str) -> Iterator[Squeeze]:
    with Squeeze(url) as client:
        yield client


@pytest.fixture(scope="package")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier."""
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny", labels=LABELS)


@pytest.fixture(scope="package")
def data_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_dataset_files(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="package")
def teacher(client: Squeeze, model_folder: Path) -> Model:
    return client.models.push(model_folder)


@pytest.fixture(scope="package")
def dataset(client: Squeeze, data_files: dict[str, Path]) -> Dataset:
    return client.data.push(data_files["train"], dev=data_files["dev"])


@pytest.fixture(scope="package")
def job(client: Squeeze, teacher: Model, dataset: Dataset) -> Job[Sync]:
    """A training that has succeeded."""
    job = client.jobs.create(
        dataset, teacher=teacher, method="fine_tuning", training=TRAINING, controls=False, exports=["fp32"]
    )
    return job.wait(timeout_s=120)


@pytest.fixture
def squeeze(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command; what it printed."""
    monkeypatch.setenv("SQUEEZE_URL", url)

    def call(*arguments: str, status: int = 0) -> str:
        ended = run([], arguments)
        printed = capsys.readouterr()
        assert ended == status, printed
        return printed.err if status else printed.out

    return call
