"""Jobs under any order of steps, with a fault between any two: one owner, one end, nothing lost.

The steps are those of the API and of workers, on real tables. A worker is what it remembers of its claim: it
may freeze for longer than its lease and go on afterwards. Any transaction may fail after all that it wrote.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from app.core.db import DEFAULT_PROJECT, Database, WriteSession
from app.core.db.base import database_time
from app.core.db.checkpoints import add_checkpoint, forget_checkpoint, list_checkpoints, unneeded_checkpoints
from app.core.db.job_queue import claim_job, expired_jobs, hold_lease, next_queued_job
from app.core.db.jobs import Job, JobEvent, append_event
from app.core.db.models import list_models
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.storage import Storage
from app.datasets.service import delete_dataset
from app.domain.documents.events import Message
from app.domain.documents.manifest import FileEntry
from app.domain.documents.report import JobReport
from app.domain.errors import Conflict, NotFound
from app.domain.job_states import JobStatus
from app.jobs.service import cancel_job
from app.registry.service import delete_model
from tests.conftest import empty_tables
from tests.worker.runner.children import model_manifest, queue_job
from worker.runner.conclusion import conclude
from worker.runner.protocol import Cancelled, Failed, Succeeded
from worker.runner.supervisor import Ending, Interrupted
from worker.runner.sweeper import release_expired
from worker.runner.worker import Activity, Worker

SUITE_EXAMPLES = 6
EXAMPLES = int(os.environ.get("SQUEEZE_MACHINE_EXAMPLES", SUITE_EXAMPLES))
LEASE = timedelta(hours=1)
MEASURED: dict[str, Any] = {
    "quality": {"dev": {"accuracy": 0.8}},
    "total_parameters": 30,
    "exports": {},
    "parameters": {"embeddings": 10, "encoder": 15, "head": 5},
}
REPORT = JobReport.model_validate(
    {"metric": "accuracy", "trivial_baseline": {}, "teacher": None, "student": MEASURED}
    | {"ratios": None, "method": {}, "seconds": {}}
)
SUCCEEDED = Succeeded(manifest=model_manifest(), metrics={"accuracy": 0.8}, report=REPORT)
ENDINGS: dict[str, Ending] = {
    "success": SUCCEEDED,
    "failure": Failed(code="teacher_not_trained", message="Train it first."),
    "failure for now": Failed(code="killed", message="Again.", retryable=True),
    "outage": Failed(code="storage_unavailable", message="Later.", retryable=True),
    "cancelled": Cancelled(),
    "interrupted": Interrupted(),
}
TERMINAL = {status for status in JobStatus if status.is_terminal}


class RolledBackError(Exception):
    """A fault after all that a transaction wrote."""


@dataclass
class Attempt:
    """What a worker remembers of its claim."""

    job: Job
    attempt: int
    student_id: str
    step: int = 0


@dataclass
class Seen:
    """What was committed of a job."""

    status: str = JobStatus.QUEUED
    attempt: int = 0
    student_id: str | None = None
    events: list[tuple[int, str, Any]] = field(default_factory=list)


class Jobs(RuleBasedStateMachine):
    """Up to three jobs, whose announcements are messages that may be lost, repeated or out of order."""

    database: ClassVar[Database]
    storage: ClassVar[Storage]

    def __init__(self) -> None:
        super().__init__()
        empty_tables(self.database)
        self.jobs: list[str] = []
        self.messages: list[str] = []
        self.attempts: list[Attempt] = []
        self.seen: dict[str, Seen] = {}
        queue = SimpleNamespace(announce=lambda job_id, _: self.messages.append(job_id))
        settings = Settings(lease=LEASE, retry_delay=timedelta(0), max_attempts=3, max_outages=3)
        worker = SimpleNamespace(queue=queue, settings=settings, activity=Activity(), storage=self.storage)
        self.worker = cast("Worker", worker)

    @contextmanager
    def transaction(self, fails: bool) -> Iterator[Any]:
        """Of the project; where it fails, it does so at the end."""
        with suppress(RolledBackError), self.database.of(DEFAULT_PROJECT).transaction() as session:
            yield session
            if fails:
                session.flush()
                raise RolledBackError

    @precondition(lambda self: len(self.jobs) < 3)
    @rule(is_announced=st.booleans())
    def create(self, is_announced: bool) -> None:
        job_id = queue_job(self.database)
        self.jobs.append(job_id)
        self.seen[job_id] = Seen()
        if is_announced:
            self.messages.append(job_id)

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), is_kept=st.booleans())
    def hear(self, data: st.DataObject, is_kept: bool) -> None:
        """A worker is told of a job; the message may come again."""
        job_id = data.draw(st.sampled_from(self.messages))
        if not is_kept:
            self.messages.remove(job_id)
        self.claim(job_id, fails=data.draw(st.booleans()))

    @precondition(lambda self: self.messages)
    @rule()
    def lose_messages(self) -> None:
        self.messages.clear()

    @precondition(lambda self: self.jobs)
    @rule(fails=st.booleans())
    def poll(self, fails: bool) -> None:
        """A worker looks at the table."""
        with self.transaction(fails=False) as session:
            job_id = next_queued_job(session)
        queued = [job_id for job_id in self.jobs if self.seen[job_id].status == JobStatus.QUEUED]
        assert (job_id is None) == (not queued), "a queued job waits for nothing but a worker"
        if job_id is not None:
            self.claim(job_id, fails=fails)

    def claim(self, job_id: str, *, fails: bool) -> None:
        with self.transaction(fails) as session:
            job = claim_job(session, job_id, owner=f"worker {len(self.attempts)}", lease=LEASE)
            attempt = None if job is None else job.attempt
        if job is not None and attempt is not None and not fails:
            assert self.seen[job_id].status == JobStatus.QUEUED, "of two that claim it one gets it"
            assert attempt == self.seen[job_id].attempt + 1
            self.attempts.append(Attempt(job, attempt, new_id("mdl")))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), fails=st.booleans(), stores=st.booleans())
    def beat(self, data: st.DataObject, fails: bool, stores: bool) -> None:
        """Also that of a worker which was frozen for longer than its lease."""
        attempt = data.draw(st.sampled_from(self.attempts))
        held = self.is_owner(attempt)
        with self.transaction(fails) as session:
            job = hold_lease(session, attempt.job.id, attempt=attempt.attempt, lease=LEASE)
            assert (job is not None) == held, "who has lost a job can write nothing about it"
            if job is not None:
                append_event(session, job.id, Message(level="info", text=f"attempt {attempt.attempt}"))
                if stores:
                    attempt.step += 1
                    file = FileEntry(sha256="0" * 64, size_bytes=1)
                    add_checkpoint(session, job, step=attempt.step, key=f"{job.id}/{attempt.step}", file=file)
                    record = job.read_attempt_record()
                    reached = record.reached(attempt.attempt, stage=1, step=attempt.step)
                    job.attempt_record = reached.to_stored()

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), ending=st.sampled_from(sorted(ENDINGS)), fails=st.booleans())
    def conclude(self, data: st.DataObject, ending: str, fails: bool) -> None:
        """Also again, where the answer to a commit was lost, and by workers that have lost the job."""
        attempt = data.draw(st.sampled_from(self.attempts))
        held, seen = self.is_owner(attempt), self.seen[attempt.job.id]
        with self.transaction(fails) as session:
            status = conclude(self.worker, session, attempt.job, ENDINGS[ending], attempt.student_id)
        if not held:
            assert status == (JobStatus.SUCCEEDED if seen.student_id == attempt.student_id else None)
        elif not fails and status is JobStatus.SUCCEEDED:
            seen.student_id = attempt.student_id

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), fails=st.booleans())
    def cancel(self, data: st.DataObject, fails: bool) -> None:
        job_id = data.draw(st.sampled_from(self.jobs))
        had_ended = self.seen[job_id].status in TERMINAL
        try:
            with self.transaction(fails) as session:
                cancel_job(session, job_id)
        except Conflict:
            assert had_ended
        else:
            assert not had_ended

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def let_lease_run_out(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        with self.transaction(fails=False) as session:
            past = database_time(session) - LEASE
            running = Job.id == attempt.job.id, Job.status == JobStatus.RUNNING
            session.execute(update(Job).where(*running).values(lease_expires_at=past))

    @precondition(lambda self: self.jobs)
    @rule(fails=st.booleans(), times=st.integers(1, 2))
    def sweep(self, fails: bool, times: int) -> None:
        """Twice: as two sweepers, which both have seen the same jobs."""
        with self.database.transaction() as session:
            expired = [job_id for job_id in expired_jobs(session) for _ in range(times)]
        for job_id in expired:
            with self.transaction(fails) as session:
                release_expired(self.worker, session, job_id)

    @rule(fails=st.booleans())
    def remove_checkpoints(self, fails: bool) -> None:
        with self.database.transaction() as session:
            unneeded = unneeded_checkpoints(session)
        with self.transaction(fails) as session:
            for checkpoint in unneeded:
                forget_checkpoint(session, checkpoint)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), of=st.sampled_from(["model", "dataset"]), fails=st.booleans())
    def delete_input(self, data: st.DataObject, of: str, fails: bool) -> None:
        job_id = data.draw(st.sampled_from(self.jobs))
        try:
            with self.transaction(fails) as session:
                job = session.get(Job, job_id)
                if of == "model":
                    delete_model(session, self.storage, job.teacher_id)
                else:
                    delete_dataset(session, self.storage, job.dataset_id)
        except Conflict:
            assert self.seen[job_id].status not in TERMINAL
        except NotFound:
            assert self.seen[job_id].status in TERMINAL, "what an unfinished job needs was deleted"
        else:
            assert self.seen[job_id].status in TERMINAL

    def is_owner(self, attempt: Attempt) -> bool:
        seen = self.seen[attempt.job.id]
        return seen.status == JobStatus.RUNNING and seen.attempt == attempt.attempt

    @invariant()
    def what_was_committed_holds(self) -> None:
        with self.database.of(DEFAULT_PROJECT).transaction() as session:
            jobs = {job.id: job for job in session.scalars(select(Job))}
            students = {model.job_id: model for model in list_models(session, limit=100) if model.job_id}
            assert set(jobs) == set(self.jobs)
            for job_id, job in jobs.items():
                self.check_job(session, job, self.seen[job_id])
                student = students.pop(job_id, None)
                assert (student is not None) == (job.status is JobStatus.SUCCEEDED)
                assert job.student_id == (student.id if student else None)
            assert not students

    def check_job(self, session: WriteSession, job: Job, seen: Seen) -> None:
        history = select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.seq)
        events = [(event.seq, event.kind, event.data) for event in session.scalars(history)]
        assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1)), "events have gaps"
        assert events[: len(seen.events)] == seen.events, "history was changed"
        statuses = [data for _, kind, data in events if kind == "status"]
        ends = [data for data in statuses if JobStatus(data["status"]) in TERMINAL]
        assert len(ends) <= 1
        assert not ends or ends[0] is statuses[-1]
        if statuses:
            assert (statuses[-1]["status"], statuses[-1]["attempt"]) == (job.status_text, job.attempt)
        if seen.status in TERMINAL:
            assert (job.status_text, job.student_id) == (seen.status, seen.student_id), "an end was left"
            assert events == seen.events, "something was written after the end"
        assert (job.lease_owner is not None) == (job.status is JobStatus.RUNNING)
        assert (job.lease_expires_at is not None) == (job.status is JobStatus.RUNNING)
        assert (job.finished_at is not None) == (job.status in TERMINAL)
        assert job.attempt - seen.attempt in (0, 1)
        checkpoints = list_checkpoints(session, job.id)
        assert all(checkpoint.attempt <= job.attempt for checkpoint in checkpoints)
        seen.status, seen.attempt, seen.events = job.status_text, job.attempt, events
        seen.student_id = job.student_id


def test_jobs_under_any_order_of_steps(database: Database, tmp_path: Path) -> None:
    Jobs.database, Jobs.storage = database, Storage.from_url(f"file://{tmp_path}")
    run_state_machine_as_test(
        Jobs,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            derandomize=EXAMPLES == SUITE_EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate] if EXAMPLES == SUITE_EXAMPLES else [Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
