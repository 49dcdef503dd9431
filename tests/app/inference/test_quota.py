"""Predictions of a day count against the project's quota, as a client sees it."""

import httpx
import pytest

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.projects import Project
from tests.app.inference.conftest import Register, predict


@pytest.fixture
def limited(inference_database: Database) -> None:
    with inference_database.transaction() as session:
        session.get(Project, DEFAULT_PROJECT).max_predictions_per_day = 5


@pytest.mark.usefixtures("limited")
def test_texts_are_counted_and_refused(client: httpx.Client, register: Register) -> None:
    model_id = register()
    answer = predict(client, model_id, ["a", "b", "c"])
    assert answer.status_code == 200
    assert answer.headers["ratelimit-policy"] == '"predictions";q=5;w=86400'
    assert answer.headers["ratelimit"].startswith('"predictions";r=2;t=')
    assert predict(client, model_id, "a", precision="int4").status_code == 422, "which does not count"
    refused = predict(client, model_id, ["a", "b", "c"])
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:squeeze:problem:prediction_quota_exceeded"
    assert refused.json()["used"] == 3
    assert isinstance(refused.json()["error"], str), "as clients of the route read it"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert predict(client, model_id, ["a", "b"]).status_code == 200
    assert predict(client, model_id, "a").status_code == 429
