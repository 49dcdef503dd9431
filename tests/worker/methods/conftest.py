from pathlib import Path

import pytest

from app.domain.methods import FineTuningSpec
from tests.worker.compression import MemoryContext, make_data, make_teacher
from worker import methods
from worker.contracts import TaskData, Teacher
from worker.methods.weight_inherited import compactors as compaction


@pytest.fixture(scope="session")
def data() -> TaskData:
    return make_data()


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """Trained on the data; tests must leave it as it is."""
    folder: Path = tmp_path_factory.mktemp("teacher")
    untrained = make_teacher()
    context = MemoryContext(folder, epochs=12)
    spec = FineTuningSpec(name="fine_tuning")
    methods.load(spec).compress(untrained, make_data(), spec, context)
    return untrained


@pytest.fixture
def exact(monkeypatch):
    """Compactors in fp32, whatever the machine is fast in."""
    monkeypatch.setattr(compaction, "product_dtype", lambda values: values.dtype)
