"""The loop beside what an attempt is at: its lease renewed, its reports written, its end brought about."""

import logging
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core import telemetry
from app.core.db import Database, WriteSession
from app.core.db.checkpoints import add_checkpoint
from app.core.db.job_queue import hold_lease
from app.core.db.jobs import Job, append_event
from app.core.outages import first_line
from app.core.settings import Settings
from app.domain.documents.events import Message, Metrics, Progress
from app.domain.errors import NotFound
from app.domain.planning.stages import STARTING
from worker.runner.checkpoint_uploads import CheckpointUploads
from worker.runner.child import Child
from worker.runner.deadline import Deadline, Part
from worker.runner.launch import Launcher
from worker.runner.limits import time_limit
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
)
from worker.runner.shutdown import Shutdown
from worker.runner.timetable import Timetable
from worker.runner.transfer import Check, Transfer, TransferStopped

logger = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE_AWAY = (DBAPIError, PoolTimeout)
"""Among the first: a lock not granted in time, a query cut off, a transaction ended while it was idle."""


class Stop(Enum):
    """Why an attempt is to end."""

    CANCEL = "the client asked"
    SHUTDOWN = "the worker is shutting down"
    STALLED = "its process has stalled"
    TIMED_OUT = "its time is over"
    LOST = "the lease is lost"


class Watch:
    """Watches one part of an attempt after the other: one transaction a heartbeat."""

    def __init__(
        self,
        request: JobRequest,
        deadline: Deadline,
        *,
        database: Database,
        settings: Settings,
        shutdown: Shutdown,
    ) -> None:
        self.stop: Stop | None = None
        """Why the attempt is to end, if it is."""
        self.seconds: dict[str, float] = {}
        """What each transfer took, by stage."""
        estimate = None if request.plan is None else request.plan.estimate
        self.timetable = Timetable(estimate, now=time.monotonic())
        self._request = request
        self._deadline = deadline
        self._database = database
        self._settings = settings
        self._shutdown = shutdown
        self._heartbeat_s = settings.heartbeat.total_seconds()
        self._heard_at = time.monotonic()
        self._kill_at = float("inf")
        self._part: Part | None = None
        self._uploads: CheckpointUploads | None = None
        self._progress: Progress | None = None
        self._stage_name, self._stage_span = "", telemetry.NO_SPAN
        self._stage = self._step = 0
        self._stored: list[StoredCheckpoint] = []
        self._pending: list[Metrics | Message] = []

    def close(self) -> None:
        """End what is told of the last stage."""
        self._stage_span.end()

    def transfer(self, stage: str, move: Callable[[Check], T], *, ends_on_shutdown: bool) -> T:
        """Move files, as a stage of the job.

        Raises:
            TransferStopped: the attempt is to end.
            Exception: what ``move`` raised.
        """
        began = time.monotonic()
        self._keep(Progress(stage=stage, step=0, total_steps=1))
        with Transfer(move, shutdown=self._shutdown, ends_on_shutdown=ends_on_shutdown) as transfer:
            self._until_exit(transfer)
            self._hand_in()
        if self.stop is Stop.LOST:
            raise TransferStopped
        result = transfer.result()
        self.seconds[stage] = time.monotonic() - began
        return result

    def run_child(
        self, launch: Launcher, workdir: Path, uploads: CheckpointUploads
    ) -> Succeeded | Failed | Cancelled | None:
        """Run the child to its end.

        Returns:
            What it handed over, or why it died. None where it was stopped; what it had done all the same
            before it heard counts, unless the lease is lost.
        """
        self._uploads = uploads
        lease_until = self._deadline.child_may_work_until
        arguments = [str(workdir)]
        if self._settings.confine_jobs:
            self._request.cache_dir.mkdir(parents=True, exist_ok=True)
            arguments += [str(workdir), str(self._request.cache_dir)]
        self.timetable.enter(STARTING, time.monotonic())
        with Child(launch, arguments, shutdown=self._shutdown, lease_until=lease_until) as child:
            self._until_exit(child)
            if self._may_go_on_later(workdir):
                self._store_last_checkpoint(uploads)
            self._hand_in()
        if self.stop is Stop.LOST:
            return None
        try:
            outcome = read_outcome(workdir, self._request)
        except ValueError:
            logger.exception("the outcome is that of another job or attempt")
            outcome = None
        if self.stop is not None:
            return outcome if isinstance(outcome, Succeeded) else None
        if not (workdir / REQUEST).exists():
            return work_folder_lost()
        return child.why_it_died() if outcome is None else outcome

    def _until_exit(self, part: Part) -> None:
        self._part = part
        self._heard_at = next_beat = time.monotonic()
        if self.stop is not None:
            self._ask(part, self.stop)
        with self._deadline.guarding(part):
            while not part.has_exited:
                for event in part.take_in(min(next_beat, self._kill_at) - time.monotonic()):
                    self._keep(event)
                if self._shutdown.requested:
                    self._stop_for(Stop.SHUTDOWN)
                if time.monotonic() >= self._heard_at + self._settings.stall_limit.total_seconds():
                    self._stop_for(Stop.STALLED)
                if time.monotonic() >= next_beat:
                    self._beat()
                    next_beat = time.monotonic() + self._heartbeat_s
                if time.monotonic() >= self._kill_at:
                    part.kill()
                    self._kill_at = float("inf")

    def _may_go_on_later(self, workdir: Path) -> bool:
        if self.stop is None:
            return not (workdir / OUTCOME).exists()
        return self.stop in (Stop.SHUTDOWN, Stop.STALLED)

    def _store_last_checkpoint(self, uploads: CheckpointUploads) -> None:
        """Let another host go on from the latest, if that takes no longer than a child may take to stop."""
        deadline = time.monotonic() + self._settings.cancel_grace.total_seconds()
        while self.stop is not Stop.LOST and (left_s := deadline - time.monotonic()) > 0:
            if uploads.flush(min(left_s, self._heartbeat_s)):
                return
            self._beat()

    def _keep(self, event: ChildEvent) -> None:
        self._heard_at = time.monotonic()
        match event:
            case Progress():
                self._progress = event
                self.timetable.hear(event, self._heard_at)
                self._trace_stage(event.stage)
            case StageStarted():
                self._stage = event.number
            case CheckpointWritten():
                self._step = event.step
                if self._uploads is not None:
                    self._uploads.offer(event.step)
            case Metrics() | Message():
                self._pending.append(event)

    def _trace_stage(self, name: str) -> None:
        if name != self._stage_name:
            self._stage_span.end()
            self._stage_name = name
            self._stage_span = telemetry.span(f"stage {name}", {"squeeze.stage": name})

    def _hand_in(self) -> None:
        """Write what the child said last, while that is still ours to write."""
        while self.stop is not Stop.LOST and not self._beat():
            time.sleep(min(1.0, self._heartbeat_s))

    def _beat(self) -> bool:
        """Renew the lease and write what is new; whether the database took it."""
        began = time.monotonic()
        if self._uploads is not None:
            self._stored += self._uploads.take()
        try:
            with self._database.transaction() as session:
                job = hold_lease(
                    session, self._request.job_id, attempt=self._request.attempt, lease=self._settings.lease
                )
                if job is not None:
                    self._write(session, job)
        except NotFound:
            job = None
        except DATABASE_AWAY as error:
            logger.warning("job %s: could not store a heartbeat: %s", self._request.job_id, first_line(error))
            if self._deadline.has_passed:
                self._stop_for(Stop.LOST)
            return False
        # Passed all the same where this process was frozen: the child must not hear of the renewal.
        if job is None or self._deadline.has_passed:
            self._stop_for(Stop.LOST)
            return False
        self._deadline.move(began)
        self._pending.clear()
        self._stored.clear()
        if job.cancel_requested_at is not None:
            self._stop_for(Stop.CANCEL)
        elif job.running_s >= time_limit(self._request, self._settings).total_seconds():
            self._stop_for(Stop.TIMED_OUT)
        return True

    def _write(self, session: WriteSession, job: Job) -> None:
        for event in self._pending:
            append_event(session, job.id, event)
        if self._progress is not None:
            fraction, eta_s = self.timetable.progress(time.monotonic())
            told = self._progress.model_copy(update={"fraction": fraction, "eta_s": eta_s})
            job.progress = told.model_dump(exclude={"kind"})
        for stored in self._stored:
            add_checkpoint(session, job, step=stored.step, key=stored.key, file=stored.file)
        record = job.read_attempt_record()
        reached = record.reached(self._request.attempt, stage=self._stage, step=self._step)
        if reached is not record:
            job.attempt_record = reached.to_stored()

    def _stop_for(self, reason: Stop) -> None:
        """The first reason counts; a lost job ends at once, whatever else it was to end for."""
        if reason is Stop.LOST or self.stop is None:
            logger.info("job %s: stopping, %s", self._request.job_id, reason.value)
            self.stop = reason
            if self._part is not None:
                self._ask(self._part, reason)

    def _ask(self, part: Part, reason: Stop) -> None:
        """Ask a part to end, and kill it after a while; one that hangs is not asked."""
        grace = self._settings.cancel_grace
        match reason:
            case Stop.LOST:
                part.kill()
            case Stop.STALLED:
                part.abort()
            case Stop.SHUTDOWN:
                grace = self._settings.shutdown_grace
                part.ask_to_save_and_stop()
            case Stop.CANCEL | Stop.TIMED_OUT:
                part.ask_to_stop()
        self._kill_at = time.monotonic() + grace.total_seconds()
