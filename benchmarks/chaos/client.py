"""A client that wants its jobs done: it sends each request until it is answered, under one key, and polls."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from benchmarks.chaos.workload import KINDS, dataset_files, job_of, teacher_archive
from benchmarks.harness import say

Json = dict[str, Any]

_TIMEOUT_S = 60
_PAUSE_S = 0.3
_UNDISTURBED_S = 600
_TO_BE_REPEATED = (409, 429, 502, 503, 504)
"""Handled by a process that may be lost, or not now."""


@dataclass
class Submitted:
    """A job that the client has asked for."""

    kind: int
    id: str
    status: str = "queued"

    @property
    def has_ended(self) -> bool:
        return self.status not in ("queued", "running")


@dataclass
class Client:
    """What a user's program does, whatever happens to the service."""

    url: str
    epochs: float
    answers: Counter[str] = field(default_factory=Counter)
    """By status, or ``no connection``."""
    jobs: list[Submitted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S)
        self._datasets = 0

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The answer, once there is one that says more than to come again."""
        while True:
            try:
                response = self._http.request(method, path, **content)
            except httpx.TransportError:
                self.answers["no connection"] += 1
            else:
                self.answers[str(response.status_code)] += 1
                if response.status_code < 500 and response.status_code not in _TO_BE_REPEATED:
                    return response
                if response.status_code not in _TO_BE_REPEATED:
                    say(f"{method} {path}: {response.status_code} {response.text[:300]}")
            time.sleep(_PAUSE_S)

    def get(self, path: str) -> Json:
        answer: Json = self.request("GET", path).raise_for_status().json()
        return answer

    def create(self, path: str, key: str, **content: Any) -> Json:
        """Create something once, however often the request must be sent."""
        response = self.request("POST", path, headers={"Idempotency-Key": key}, **content)
        answer: Json = response.raise_for_status().json()
        return answer

    def upload_teacher(self) -> str:
        files = {"file": ("model.zip", teacher_archive())}
        model_id: str = self.create("/v1/models", "teacher", data={"name": "teacher"}, files=files)["id"]
        return model_id

    def upload_dataset(self) -> str:
        self._datasets += 1
        name = f"data {self._datasets}"
        dataset = {"name": name, "task": "text_classification"}
        dataset_id: str = self.create("/v1/datasets", name, data=dataset, files=dataset_files())["id"]
        return dataset_id

    def submit(self, teacher: str, kind: int) -> Submitted:
        """Upload a data set and ask for a job on it."""
        body = job_of(kind, teacher=teacher, dataset=self.upload_dataset(), epochs=self.epochs)
        job = Submitted(kind, self.create("/v1/jobs", f"job {len(self.jobs) + 1}", json=body)["id"])
        self.jobs.append(job)
        return job

    def poll(self) -> Sequence[Submitted]:
        """Look at the jobs that had not ended; those that still have not."""
        for job in self.jobs:
            if not job.has_ended:
                response = self.request("GET", f"/v1/jobs/{job.id}")
                # One that was accepted and is not known any more is looked for in vain to the end.
                job.status = response.json()["status"] if response.is_success else "queued"
        return [job for job in self.jobs if not job.has_ended]

    def wait_for_all(self, timeout_s: float) -> bool:
        """Whether all jobs have ended in time."""
        deadline = time.monotonic() + timeout_s
        while self.poll():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_S)
        return True


class Submitting:
    """Keeps a few jobs waiting for the length of a ``with`` block, in a thread of its own.

    At least so many in all, and more as long as the block goes on: faults need jobs to meet.
    """

    def __init__(self, client: Client, teacher: str, *, jobs: int, waiting: int) -> None:
        self._client = client
        self._teacher = teacher
        self._jobs = jobs
        self._waiting = waiting
        self._is_over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_over.set()
        if kind is None:
            self._thread.join()
            if self._error is not None:
                raise self._error

    def _run(self) -> None:
        try:
            while not self._is_over.is_set() or len(self._client.jobs) < self._jobs:
                if len(self._client.poll()) < self._waiting:
                    self._client.submit(self._teacher, len(self._client.jobs) % len(KINDS))
                time.sleep(_PAUSE_S)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for this one
            self._error = error


def prepare_teacher(client: Client) -> str:
    """An uploaded model, fine-tuned: the first job."""
    job = client.submit(client.upload_teacher(), 0)
    teacher: str = _students(client, [job])[0]["id"]
    return teacher


def run_undisturbed(client: Client, teacher: str) -> Mapping[int, Json]:
    """The student of a job of each kind."""
    jobs = [client.submit(teacher, kind) for kind in range(len(KINDS))]
    return dict(enumerate(_students(client, jobs)))


def student_of(client: Client, job: Submitted) -> Json:
    return client.get(f"/v1/models/{client.get(f'/v1/jobs/{job.id}')['student']}")


def _students(client: Client, jobs: Sequence[Submitted]) -> list[Json]:
    """Once all have ended, and nothing has gone wrong yet."""
    if not client.wait_for_all(_UNDISTURBED_S) or any(job.status != "succeeded" for job in jobs):
        raise RuntimeError(f"jobs failed with nothing wrong: {jobs}")
    return [student_of(client, job) for job in jobs]
