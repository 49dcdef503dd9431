from typing import Any

import pytest

from tests.app.jobs.requests import TARGET


@pytest.fixture
def body(teacher: str, dataset: str) -> dict[str, Any]:
    return {"teacher": teacher, "dataset": dataset, "method": {"name": "weight_squeezing"}, "target": TARGET}
