"""Bodies of jobs, and what refuses them."""

from collections.abc import Sequence
from typing import Any

from tests.app.conftest import Api
from tests.tiny import tiny_model_folder, zipped

TARGET = {"compression_ratio": 2}


JOBS = ("/v1/jobs?validate_only=true", "/v1/jobs")


def refused(
    api: Api, body: dict[str, Any], code: str, *, status: int = 422, by: Sequence[str] = ("/v1/plans", *JOBS)
) -> dict[str, Any]:
    """The problem, which a plan, a check and a job all answer with."""
    before = api.rows()["jobs"]
    for path in by:
        response = api.http.post(path, json=body)
        problem = response.json()
        assert (response.status_code, problem["type"]) == (status, f"urn:squeeze:problem:{code}"), problem
    assert api.rows()["jobs"] == before
    return problem


def upload(api: Api, tmp_path, **model: Any) -> str:
    name = f"model{len(list(tmp_path.iterdir()))}"
    return api.upload_model(zipped(tiny_model_folder(tmp_path / name, **model))).json()["id"]
