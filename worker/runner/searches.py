"""Advancing searches. No worker holds one: whoever sees one of its jobs end takes its next step.

A step is computed from what is stored, and written unless somebody else has taken it meanwhile. So it is
taken once, however many workers try, and by the next one where a worker is lost in the middle.
"""

import logging
from typing import Final, NamedTuple

from app.core.db import ProjectReadSession, ProjectWriteSession
from app.core.db.base import database_time
from app.core.db.comparisons import get_comparison
from app.core.db.jobs import Job, find_jobs, lock_job, move, unfinished_searches
from app.core.db.models import Model
from app.domain.documents.search import SearchState, TrialStatus
from app.domain.errors import SqueezeError
from app.domain.job_states import JobStatus
from app.domain.search.halving import planned_runs
from app.domain.search.proposing import propose
from app.domain.search.runs import measurements_of
from app.domain.search.steps import Ended, Step, take_step, with_runs
from worker.runner.search_end import finish
from worker.runner.trials import begin, stop, tell_begin, tell_dropped, tell_end
from worker.runner.worker import Worker

logger = logging.getLogger(__name__)

_STATUS: Final[dict[JobStatus, TrialStatus]] = {
    JobStatus.SUCCEEDED: "finished",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}
_MOST_STEPS: Final = 100


class _Read(NamedTuple):
    """A search as it was read, and what its trials have come to."""

    version: int
    state: SearchState
    """As stored."""
    is_cancelled: bool
    ended: dict[str, Ended]
    """By job."""
    elapsed_s: float

    @property
    def current(self) -> SearchState:
        """With a cancellation that an API of a version before searches has noted in the row alone."""
        if self.is_cancelled and self.state.stop is None:
            return self.state.model_copy(update={"stop": "cancel"})
        return self.state


def advance_all(worker: Worker) -> None:
    """Advance every search that has not ended; where nothing is new, nothing is written."""
    with worker.database.reading() as session:
        searches = unfinished_searches(session)
    for job_id in searches:
        advance(worker, job_id)


def advance(worker: Worker, job_id: str) -> None:
    """Take the steps of a search that can be taken now; other jobs and ended searches are let be."""
    with worker.database.reading() as session:
        projects = [job.project_id for job in find_jobs(session, [job_id]) if job.is_search]
    try:
        if projects:
            any(not _advance_once(worker, projects[0], job_id) for _ in range(_MOST_STEPS))
    except SqueezeError as error:  # of a later version, or damaged
        logger.warning("search %s cannot be advanced: %s", job_id, error.message)


def _advance_once(worker: Worker, project_id: str, job_id: str) -> bool:
    """Take one step; whether another may follow at once."""
    database = worker.database.of(project_id)
    with database.reading() as reading:
        read = _read(reading, job_id)
    if read is None:
        return False
    # Between the transactions: what to try next takes a while to compute.
    step = take_step(read.current, read.ended, elapsed_s=read.elapsed_s, propose=propose)
    with database.transaction() as session:
        job = lock_job(session, job_id)
        if job.status.is_terminal:
            return False
        if job.search_version != read.version:  # somebody else was first
            return True
        return _write(worker, session, job, step, before=read.state)


def _read(session: ProjectReadSession, job_id: str) -> _Read | None:
    [job] = find_jobs(session, [job_id])
    state = job.read_search()
    if state is None or job.status.is_terminal:
        return None
    elapsed_s = 0.0
    if job.started_at is not None:
        elapsed_s = (database_time(session) - job.started_at).total_seconds()
    jobs = find_jobs(session, [trial.job for trial in state.running])
    ended = {child.id: _ended(session, child) for child in jobs if child.status.is_terminal}
    return _Read(job.search_version, state, job.cancel_requested_at is not None, ended, elapsed_s)


def _ended(session: ProjectReadSession, child: Job) -> Ended:
    """What became of a trial; a student that was deleted, or was compared with nothing, is no result."""
    if child.status is not JobStatus.SUCCEEDED:
        return Ended(_STATUS[child.status])
    report, comparison = child.read_report(), get_comparison(session, child.id)
    if child.student_id is None or session.get(Model, child.student_id) is None:
        return Ended("failed")
    measured = () if report is None or comparison is None else measurements_of(report, comparison)
    return Ended("finished" if measured else "failed", child.student_id, measured)


def _write(
    worker: Worker, session: ProjectWriteSession, job: Job, step: Step, *, before: SearchState
) -> bool:
    if job.status is JobStatus.QUEUED:
        move(session, job, JobStatus.RUNNING)
    for trial in step.ended:
        tell_end(session, job, step.state, trial)
    has_stopped = bool(step.stops) and stop(session, job)
    jobs = [begin(worker, session, job, step.state.candidates[run.candidate], run) for run in step.runs]
    state = with_runs(step.state, step.runs, jobs)
    for trial in state.trials[len(step.state.trials) :]:
        tell_begin(session, job, state, trial)
    if state.is_over:
        tell_dropped(session, job, state)
        state = finish(worker, session, job, state)
    if state != before:
        job.write_search(state)
        ended = len(state.trials) - len(state.running)
        job.progress = {
            "stage": "searching",
            "step": ended,
            "total_steps": planned_runs(state),
            "fraction": 1.0 if state.is_over else min(0.99, ended / planned_runs(state)),
        }
    return has_stopped
