"""One attempt at a job: keep its lease, relay its child's reports, stop it when asked, say how it ended."""

import logging
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.db import Database, WriteSession
from app.core.db.checkpoints import add_checkpoint
from app.core.db.job_queue import hold_lease
from app.core.db.jobs import Job, append_event
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents.events import Message, Metrics, Progress
from app.domain.errors import NotFound
from worker.runner.checkpoint_uploads import CheckpointUploads
from worker.runner.child import Child
from worker.runner.launch import Launcher
from worker.runner.limits import stalled, time_limit, timed_out
from worker.runner.machine_failures import work_folder_lost
from worker.runner.protocol import (
    OUTCOME,
    REQUEST,
    Cancelled,
    CheckpointWritten,
    ChildEvent,
    Failed,
    JobRequest,
    StageStarted,
    StoredCheckpoint,
    Succeeded,
    read_outcome,
    write_request,
)
from worker.runner.shutdown import Shutdown

logger = logging.getLogger(__name__)

DATABASE_AWAY = (DBAPIError, PoolTimeout)
"""Among the first: a lock not granted in time, a query cut off, a transaction ended while it was idle."""


@dataclass(frozen=True)
class Interrupted:
    """The worker is shutting down; the child was stopped and its checkpoint kept."""


@dataclass(frozen=True)
class Lost:
    """The attempt no longer holds the job: nothing may be written about it."""


Ending = Succeeded | Failed | Cancelled | Interrupted | Lost


class _Stop(Enum):
    CANCEL = "the client asked"
    SHUTDOWN = "the worker is shutting down"
    STALLED = "its process has stalled"
    TIMED_OUT = "its time is over"
    LOST = "the lease is lost"


def supervise(
    request: JobRequest,
    *,
    workdir: Path,
    claimed_at: float,
    database: Database,
    storage: Storage,
    settings: Settings,
    shutdown: Shutdown,
    launch: Launcher,
) -> Ending:
    """Run one claimed attempt to its end. Whatever happens, no process of it is left.

    ``workdir`` is the attempt's own; ``claimed_at``, of the monotonic clock, no later than its claim.
    """
    write_request(workdir, request)
    lease_until = _child_may_work_until(settings, claimed_at)
    with (
        CheckpointUploads(storage, request, workdir) as uploads,
        Child(launch, workdir, shutdown=shutdown, lease_until=lease_until) as child,
    ):
        watch = _Watch(
            request,
            child,
            uploads,
            workdir=workdir,
            claimed_at=claimed_at,
            database=database,
            settings=settings,
            shutdown=shutdown,
        )
        stop = watch.until_exit()
    return _ending(child, request, workdir, stop, settings)


def _ending(
    child: Child, request: JobRequest, workdir: Path, stop: _Stop | None, settings: Settings
) -> Ending:
    if stop is _Stop.LOST:
        return Lost()
    try:
        outcome = read_outcome(workdir, request)
    except ValueError:
        logger.exception("the outcome is that of another job or attempt")
        outcome = None
    if isinstance(outcome, Succeeded):  # it was done before it heard
        return outcome
    if stop is _Stop.CANCEL:
        return Cancelled()
    if stop is _Stop.SHUTDOWN:
        return Interrupted()
    if stop is _Stop.TIMED_OUT:
        return timed_out(time_limit(request, settings))
    if stop is _Stop.STALLED:
        return stalled(settings.stall_limit)
    if not (workdir / REQUEST).exists():
        return work_folder_lost()
    return child.why_it_died() if outcome is None else outcome


class _Watch:
    """The loop beside a running child: one transaction a heartbeat."""

    def __init__(
        self,
        request: JobRequest,
        child: Child,
        uploads: CheckpointUploads,
        *,
        workdir: Path,
        claimed_at: float,
        database: Database,
        settings: Settings,
        shutdown: Shutdown,
    ) -> None:
        self._job_id = request.job_id
        self._attempt = request.attempt
        self._time_limit = time_limit(request, settings)
        self._stall_limit_s = settings.stall_limit.total_seconds()
        self._heard_at = time.monotonic()
        self._child = child
        self._uploads = uploads
        self._workdir = workdir
        self._heartbeat_s = settings.heartbeat.total_seconds()
        self._database = database
        self._settings = settings
        self._shutdown = shutdown
        self._progress: Progress | None = None
        self._stage = self._step = 0
        self._stored: list[StoredCheckpoint] = []
        self._pending: list[Metrics | Message] = []
        self._stop: _Stop | None = None
        self._kill_at = float("inf")
        self._deadline = _Deadline(settings, child, held_since=claimed_at)

    def until_exit(self) -> _Stop | None:
        """Watch the child until it has ended; why it was stopped, if it was."""
        with self._deadline:
            next_beat = time.monotonic()
            while not self._child.has_exited:
                for event in self._child.take_in(min(next_beat, self._kill_at) - time.monotonic()):
                    self._keep(event)
                if self._shutdown.requested:
                    self._stop_child(_Stop.SHUTDOWN)
                if time.monotonic() >= self._heard_at + self._stall_limit_s:
                    self._stop_child(_Stop.STALLED)
                if time.monotonic() >= next_beat:
                    self._beat()
                    next_beat = time.monotonic() + self._heartbeat_s
                if time.monotonic() >= self._kill_at:
                    self._child.kill()
                    self._kill_at = float("inf")
            if self._may_go_on_later:
                self._store_last_checkpoint()
            self._hand_in()
        return self._stop

    @property
    def _may_go_on_later(self) -> bool:
        if self._stop is None:
            return not (self._workdir / OUTCOME).exists()
        return self._stop in (_Stop.SHUTDOWN, _Stop.STALLED)

    def _store_last_checkpoint(self) -> None:
        """Let another host go on from the latest, if that takes no longer than a child may take to stop."""
        deadline = time.monotonic() + self._settings.cancel_grace.total_seconds()
        while self._stop is not _Stop.LOST and (left_s := deadline - time.monotonic()) > 0:
            if self._uploads.flush(min(left_s, self._heartbeat_s)):
                return
            self._beat()

    def _keep(self, event: ChildEvent) -> None:
        self._heard_at = time.monotonic()
        match event:
            case Progress():
                self._progress = event
            case StageStarted():
                self._stage = event.number
            case CheckpointWritten():
                self._step = event.step
                self._uploads.offer(event.step)
            case Metrics() | Message():
                self._pending.append(event)

    def _hand_in(self) -> None:
        """Write what the child said last, while that is still ours to write."""
        while self._stop is not _Stop.LOST and not self._beat():
            time.sleep(min(1.0, self._heartbeat_s))

    def _beat(self) -> bool:
        """Renew the lease and write what is new; whether the database took it."""
        began = time.monotonic()
        self._stored += self._uploads.take()
        try:
            with self._database.transaction() as session:
                job = hold_lease(session, self._job_id, attempt=self._attempt, lease=self._settings.lease)
                if job is not None:
                    self._write(session, job)
        except NotFound:
            job = None
        except DATABASE_AWAY:
            logger.warning("job %s: could not store a heartbeat", self._job_id, exc_info=True)
            if self._deadline.has_passed:
                self._stop_child(_Stop.LOST)
            return False
        # Passed all the same where this process was frozen: the child must not hear of the renewal.
        if job is None or self._deadline.has_passed:
            self._stop_child(_Stop.LOST)
            return False
        self._deadline.move(began)
        self._pending.clear()
        self._stored.clear()
        if job.cancel_requested_at is not None:
            self._stop_child(_Stop.CANCEL)
        elif job.running_s >= self._time_limit.total_seconds():
            self._stop_child(_Stop.TIMED_OUT)
        return True

    def _write(self, session: WriteSession, job: Job) -> None:
        for event in self._pending:
            append_event(session, job.id, event)
        if self._progress is not None:
            job.progress = self._progress.model_dump(exclude={"kind"})
        for stored in self._stored:
            add_checkpoint(session, job, step=stored.step, key=stored.key, file=stored.file)
        record = job.read_attempt_record()
        reached = record.reached(self._attempt, stage=self._stage, step=self._step)
        if reached is not record:
            job.attempt_record = reached.to_stored()

    def _stop_child(self, reason: _Stop) -> None:
        """Ask first, kill after a while; one that hangs is not asked, and a lost job's is killed at once."""
        if reason is _Stop.LOST:
            self._stop = reason
            self._child.kill()
        elif self._stop is None:
            logger.info("job %s: stopping, %s", self._job_id, reason.value)
            self._stop = reason
            grace = self._settings.cancel_grace
            if reason is _Stop.STALLED:
                self._child.abort()
            elif reason is _Stop.SHUTDOWN:
                grace = self._settings.shutdown_grace
                self._child.ask_to_save_and_stop()
            else:
                self._child.ask_to_stop()
            self._kill_at = time.monotonic() + grace.total_seconds()


class _Deadline:
    """Kills the child a heartbeat before its lease ends: it is gone when another worker may begin.

    A thread of its own, because the loop may hang in a call to the very database that is away. Where this
    whole process is frozen, the child ends itself.
    """

    def __init__(self, settings: Settings, child: Child, *, held_since: float) -> None:
        self._settings = settings
        self._child = child
        self._at = self._end_of(held_since)
        self._is_over = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lease-deadline", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def has_passed(self) -> bool:
        """By the clock too: after a freeze this may be asked before the thread has woken."""
        return self._is_over or time.monotonic() >= self._at

    def move(self, renewed_at: float) -> None:
        self._at = self._end_of(renewed_at)
        self._child.tell_lease(_child_may_work_until(self._settings, renewed_at))

    def _end_of(self, renewed_at: float) -> float:
        return renewed_at + (self._settings.lease - self._settings.heartbeat).total_seconds()

    def _watch(self) -> None:
        while not self._done.wait(self._at - time.monotonic()):
            if time.monotonic() >= self._at:
                self._is_over = True
                self._child.kill()
                return


def _child_may_work_until(settings: Settings, renewed_at: float) -> float:
    """Before the lease ends, and after the deadline that its supervisor, unless it is frozen, keeps."""
    return renewed_at + (settings.lease - settings.heartbeat / 2).total_seconds()
