"""The trials of a search, as jobs and as events of its history."""

from typing import Final, Literal

from app.core.db import ProjectWriteSession, WriteSession, after_commit
from app.core.db.base import database_time
from app.core.db.jobs import Job, append_event, lock_children, move
from app.domain.documents.events import StatusChange, TrialEvent
from app.domain.documents.search import Candidate, SearchState, Trial
from app.domain.job_states import JobStatus
from app.domain.search.decision import most_retained
from app.domain.search.runs import run_spec
from app.domain.search.steps import NextRun
from worker.runner.worker import Worker

_Happened = Literal["started", "promoted", "result", "failed", "cancelled", "dropped"]
_ENDS: Final[dict[str, _Happened]] = {"finished": "result", "failed": "failed", "cancelled": "cancelled"}


def begin(
    worker: Worker, session: ProjectWriteSession, search: Job, candidate: Candidate, run: NextRun
) -> str:
    """Queue a run as a job of its own; its id."""
    spec = run_spec(search.read_spec(), candidate, run.share)
    job = Job(
        parent_id=search.id,
        spec=spec.to_stored(),
        inputs={given.role: given.model_id for given in spec.inputs},
        dataset_id=spec.dataset,
        method=spec.method.name,
        queue=search.queue,
        trace_context=search.trace_context,
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, StatusChange(status=job.status, attempt=job.attempt))
    after_commit(session, lambda: worker.queue.announce(job.id, job.queue))
    return job.id


def stop(session: WriteSession, search: Job) -> bool:
    """Cancel unfinished trials: queued ones at once, running ones by their workers; whether some ended."""
    has_ended = False
    for job in lock_children(session, search.id):
        if job.cancel_requested_at is None:
            job.cancel_requested_at = database_time(session)
        if job.status is JobStatus.QUEUED:
            move(session, job, JobStatus.CANCELLED)
            has_ended = True
    return has_ended


def tell_begin(session: WriteSession, search: Job, state: SearchState, trial: Trial) -> None:
    _tell(session, search, state, trial, "promoted" if trial.rung > 0 else "started")


def tell_end(session: WriteSession, search: Job, state: SearchState, trial: Trial) -> None:
    _tell(session, search, state, trial, _ENDS[trial.status])


def tell_dropped(session: WriteSession, search: Job, state: SearchState) -> None:
    """Of the trials that were measured, those whose candidates get no longer run."""
    promoted = {trial.candidate for trial in state.trials if trial.rung > 0}
    for trial in state.finished:
        if trial.rung == 0 and trial.candidate not in promoted:
            _tell(session, search, state, trial, "dropped")


def _tell(session: WriteSession, search: Job, state: SearchState, trial: Trial, happened: _Happened) -> None:
    candidate = state.candidates[trial.candidate]
    event = TrialEvent(
        trial=trial.number,
        happened=happened,
        job=trial.job,
        method=candidate.method.name,
        parameters=candidate.parameters,
        retained=most_retained(trial) if trial.measurements else None,
        student=trial.student,
    )
    append_event(session, search.id, event)
