"""``client.jobs``, and what can be done with a job."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, PrivateAttr

from squeeze_client.effects import (
    InMode,
    Item,
    Items,
    Listing,
    M,
    Operation,
    Sleep,
    Steps,
    listing,
    operation,
)
from squeeze_client.errors import JobFailed, WaitTimeout
from squeeze_client.events import past_events, stream_events
from squeeze_client.operations import call
from squeeze_client.reports import Report
from squeeze_client.resources import Resource, id_of, pages
from squeeze_client.responses import Dataset, Event, JobData, Method, Model, Plan, SearchPlan
from squeeze_client.sending import once, send

_FIRST_POLL_S = 0.2
_LONGEST_POLL_S = 5.0


class Job(JobData, InMode[M]):
    """A job as it was when it was asked for; its methods ask again."""

    model_config = ConfigDict(ignored_types=(Operation, Listing))

    _runner: Any = PrivateAttr()

    @classmethod
    def bound(cls, runner: Any, body: Any) -> "Job[Any]":
        """A job of a client, from its JSON."""
        job = cls.model_validate(body)
        job._runner = runner  # noqa: SLF001
        return job

    @property
    def runner(self) -> Any:
        """The client."""
        return self._runner

    @operation
    def reload(self) -> "Steps[Job[M]]":
        """The job as it is now."""
        return _get(self.runner, self.id)

    @operation
    def wait(
        self,
        *,
        timeout_s: float | None = None,
        on_progress: "Callable[[Job[M]], None] | None" = None,
        must_succeed: bool = True,
    ) -> "Steps[Job[M]]":
        """The job once it has ended. Nothing happens to it if the waiting is broken off.

        Args:
            timeout_s: how long to wait; default: as long as it takes.
            on_progress: is shown the job each time it is asked for.
            must_succeed: whether a failed or cancelled job raises.

        Raises:
            WaitTimeout: it has not ended in time.
            JobFailed: it has failed or was cancelled.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        poll_s, job = _FIRST_POLL_S, self
        while True:
            job = yield from _get(self.runner, self.id)
            if on_progress is not None:
                on_progress(job)
            if job.has_ended:
                break
            if deadline is not None and time.monotonic() + poll_s > deadline:
                raise WaitTimeout(f"Job {job.id} is {job.status} after {timeout_s:g} s, and goes on.")
            yield Sleep(poll_s)
            poll_s = min(_LONGEST_POLL_S, poll_s * 1.2)
        if must_succeed and job.status != "succeeded":
            raise failure_of(job)
        return job

    @operation
    def cancel(self) -> "Steps[Job[M]]":
        """Cancel the job: one that is queued at once, a running one as soon as its worker knows."""
        return _cancel(self.runner, self.id)

    @listing
    def events(self, *, after: int = 0) -> Items[Event]:
        """Past and coming events, until the job has ended.

        They come as a stream, which is resumed where it breaks off, or else page by page.
        """
        return stream_events(self.id, after)

    @operation
    def report(self) -> Steps[Report]:
        """The report of a job that has succeeded."""
        return _report(self.id)


class Jobs(Resource[M]):
    """Trainings, compressions and searches."""

    @operation
    def create(
        self,
        /,
        dataset: str | Dataset,
        *,
        method: str | Mapping[str, Any],
        teacher: str | Model | None = None,
        target: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Steps[Job[M]]:
        """Start a job.

        Args:
            dataset: to train and evaluate on.
            method: its name, or an object with the name and hyperparameters (``client.methods()``).
            teacher: the model to compress.
            target: the student's size, such as ``{"compression_ratio": 8}``.
            training: hyperparameters that all methods share, such as ``{"epochs": 3}``.
            fields: others of the request: ``exports``, ``student_name``, ``gate``, ``controls``, ...
        """
        return _create(self.runner, job_body(dataset, method, teacher, target, training, fields))

    @operation
    def plan(
        self,
        /,
        dataset: str | Dataset,
        *,
        method: str | Mapping[str, Any],
        teacher: str | Model | None = None,
        target: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Steps[Plan]:
        """What a job would make and cost. Takes what ``create`` takes, and starts nothing."""
        body = job_body(dataset, method, teacher, target, training, fields)
        answer = yield from send(call("createPlan", json=body))
        return Plan.model_validate(answer.json())

    @operation
    def search(
        self,
        /,
        dataset: str | Dataset,
        *,
        teacher: str | Model,
        goals: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Steps[Job[M]]:
        """Search for the smallest student that meets goals.

        Args:
            dataset: to train and evaluate on.
            teacher: the model to compress.
            goals: such as ``{"retain": 0.98, "max_latency_ms": 5}``.
            budget: such as ``{"trials": 8}`` or ``{"minutes": 60}``.
            fields: others of the request: ``training``, ``exports``, ...
        """
        return _create(self.runner, _search_body(dataset, teacher, goals, budget, fields))

    @operation
    def plan_search(
        self,
        /,
        dataset: str | Dataset,
        *,
        teacher: str | Model,
        goals: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Steps[SearchPlan]:
        """What a search would try and cost. Takes what ``search`` takes, and starts nothing."""
        body = _search_body(dataset, teacher, goals, budget, fields)
        answer = yield from send(call("createPlan", json=body))
        return SearchPlan.model_validate(answer.json())

    @listing
    def list(self, *, status: str | None = None, limit: int | None = None) -> Items[Job[M]]:
        """Jobs, newest first."""
        return pages("listJobs", lambda body: _job(self.runner, body), limit=limit, status=status)

    @operation
    def get(self, job: str | JobData) -> Steps[Job[M]]:
        """A job."""
        return _get(self.runner, id_of(job))

    @operation
    def cancel(self, job: str | JobData) -> Steps[Job[M]]:
        """Cancel a job."""
        return _cancel(self.runner, id_of(job))

    @listing
    def events(self, job: str | JobData, *, after: int = 0, follow: bool = True) -> Items[Event]:
        """Events of a job, oldest first; past ones alone unless ``follow``."""
        return stream_events(id_of(job), after) if follow else past_events(id_of(job), after)

    @operation
    def report(self, job: str | JobData) -> Steps[Report]:
        """The report of a job that has succeeded."""
        return _report(id_of(job))

    @operation
    def report_text(self, job: str | JobData, form: Literal["html", "markdown"] = "markdown") -> Steps[str]:
        """The same as one page of HTML, or as Markdown."""
        headers = {"accept": f"text/{form}"}
        answer = yield from send(call("getJobReport", {"job_id": id_of(job)}, headers=headers))
        return answer.text

    @listing
    def methods(self) -> Items[Method]:
        """The methods of compression, with the JSON Schema of their hyperparameters."""
        answer = yield from send(call("listMethods"))
        for entry in answer.json()["data"]:
            yield Item(Method.model_validate(entry))


def job_body(
    dataset: str | Dataset,
    method: str | Mapping[str, Any],
    teacher: str | Model | None,
    target: Mapping[str, Any] | None,
    training: Mapping[str, Any] | None,
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    """What a job is made of, without what is left to the service."""
    body: dict[str, Any] = {
        "dataset": id_of(dataset),
        "method": {"name": method} if isinstance(method, str) else dict(method),
        "teacher": None if teacher is None else id_of(teacher),
        "target": target and dict(target),
        "training": training and dict(training),
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}


def _search_body(
    dataset: str | Dataset,
    teacher: str | Model,
    goals: Mapping[str, Any] | None,
    budget: Mapping[str, Any] | None,
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    given = {"goals": goals and dict(goals), "budget": budget and dict(budget)}
    method = {"name": "auto", **{name: value for name, value in given.items() if value}}
    return job_body(dataset, method, teacher, None, None, fields)


def failure_of(job: JobData) -> JobFailed:
    """The error of a job that has not succeeded."""
    if job.error is None:
        return JobFailed(f"Job {job.id} was {job.status}.", job=job, code=None)
    message = f"Job {job.id} has failed: {job.error.message} ({job.error.code})"
    return JobFailed(message, job=job, code=job.error.code)


def _job(runner: Any, body: Any) -> Job[Any]:
    return Job.bound(runner, body)


def _create(runner: Any, body: Mapping[str, Any]) -> Steps[Job[Any]]:
    answer = yield from send(once(call("createJob", json=body)))
    return _job(runner, answer.json())


def _get(runner: Any, job_id: str) -> Steps[Job[Any]]:
    answer = yield from send(call("getJob", {"job_id": job_id}))
    return _job(runner, answer.json())


def _cancel(runner: Any, job_id: str) -> Steps[Job[Any]]:
    answer = yield from send(call("cancelJob", {"job_id": job_id}))
    return _job(runner, answer.json())


def _report(job_id: str) -> Steps[Report]:
    request = call("getJobReport", {"job_id": job_id}, headers={"accept": "application/json"})
    data = yield from send(request)
    text = yield from send(call("getJobReport", {"job_id": job_id}, headers={"accept": "text/markdown"}))
    return Report.of(data.json(), markdown=text.text)
