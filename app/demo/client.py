"""The demo's side of the API: httpx and nothing of the service's own."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx

_POLL_S = 0.5
_UPLOAD_TIMEOUT_S = 300.0

Json = dict[str, Any]


class DemoFailed(Exception):  # noqa: N818 - what has happened
    """The service refused a call, or a job did not succeed."""


class Client:
    """The calls that the demo makes."""

    def __init__(self, url: str, *, key: str | None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_UPLOAD_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload_model(self, name: str, archive: Path) -> Json:
        with archive.open("rb") as file:
            return self._call("POST", "/v1/models", data={"name": name}, files={"file": (archive.name, file)})

    def upload_dataset(self, name: str, splits: Mapping[str, Path]) -> Json:
        with ExitStack() as stack:
            files = {
                split: (path.name, stack.enter_context(path.open("rb"))) for split, path in splits.items()
            }
            fields = {"name": name, "task": "text_classification"}
            return self._call("POST", "/v1/datasets", data=fields, files=files)

    def get_model(self, model_id: str) -> Json:
        return self._call("GET", f"/v1/models/{model_id}")

    def run_job(self, body: Json, show: Callable[[Json], None]) -> Json:
        """Create a job and wait until it has succeeded; ``show`` sees it on its way."""
        job = self._call("POST", "/v1/jobs", json=body)
        while job["status"] in ("queued", "running"):
            time.sleep(_POLL_S)
            job = self._call("GET", f"/v1/jobs/{job['id']}")
            show(job)
        if job["status"] != "succeeded":
            error = job.get("error") or {}
            raise DemoFailed(
                f"job {job['id']} has {job['status']}: {error.get('message')} ({error.get('code')})"
            )
        return job

    def predict(self, model_id: str, texts: Sequence[Mapping[str, str]]) -> list[list[Json]]:
        body = {"inputs": texts, "parameters": {"top_k": 1}}
        answers: list[list[Json]] = self._answer("POST", f"/v1/models/{model_id}/predict", json=body).json()
        return answers

    def _call(self, method: str, path: str, **content: Any) -> Json:
        answer: Json = self._answer(method, path, **content).json()
        return answer

    def _answer(self, method: str, path: str, **content: Any) -> httpx.Response:
        response = self._http.request(method, path, **content)
        if response.is_error:
            raise DemoFailed(f"{method} {path} returned {response.status_code}: {response.text}")
        return response
