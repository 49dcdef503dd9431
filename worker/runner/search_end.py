"""How a search ends: with its best student, without one, cancelled or failed."""

from app.core.db import ProjectWriteSession, after_commit
from app.core.db.comparisons import add_comparison, get_comparison
from app.core.db.endpoints import endpoint_of_model
from app.core.db.jobs import Job, append_event, get_job, move, uses_model
from app.core.db.models import Model, enqueue_deletion, lock_model
from app.domain.documents.events import Message
from app.domain.documents.manifest import stored_prefix
from app.domain.documents.search import SearchState, Trial
from app.domain.errors import NotFound
from app.domain.job_states import JobStatus
from app.domain.search.wording import chosen, outcome_sentence
from worker.runner.retries import fail
from worker.runner.worker import Worker


def finish(worker: Worker, session: ProjectWriteSession, search: Job, state: SearchState) -> SearchState:
    """End a locked search whose trials have all ended; its last state.

    The registry keeps the students of the Pareto front, and what comes closest where none meets the goals. Of
    a search that is cancelled it keeps none.
    """
    kept: set[int] = set()
    if state.stop != "cancel":
        outcome = state.outcome
        kept = {one.trial for one in (*outcome.front, outcome.best, outcome.closest) if one is not None}
    state = _without_students(worker, session, state, kept)
    if state.stop == "cancel" or (state.stop == "keep" and not kept):
        move(session, search, JobStatus.CANCELLED)
    elif not kept:
        fail(session, search, *_failure(session, state))
    else:
        _succeed(session, search, state)
    return state


def _succeed(session: ProjectWriteSession, search: Job, state: SearchState) -> None:
    best = state.outcome.best
    if best is not None:
        trial, _ = chosen(state, best)
        job = get_job(session, trial.job)
        search.student_id, search.report = trial.student, job.report
        if (comparison := get_comparison(session, job.id)) is not None:
            add_comparison(session, search.id, comparison)
    level = "warning" if best is None else "info"
    append_event(session, search.id, Message(level=level, text=outcome_sentence(state)))
    move(session, search, JobStatus.SUCCEEDED, student=search.student_id)


def _failure(session: ProjectWriteSession, state: SearchState) -> tuple[str, str]:
    """Code and message of a search without any result."""
    if state.stop == "budget":
        return "search_budget_exhausted", "No trial finished within the budget. Allow more minutes."
    reasons = [get_job(session, trial.job).error_message for trial in state.trials]
    reason = next((said for said in reasons if said), "They measured nothing to compare with the teacher.")
    return "search_failed", f"All {len(state.trials)} trials failed. The first: {reason}"


def _without_students(
    worker: Worker, session: ProjectWriteSession, state: SearchState, kept: set[int]
) -> SearchState:
    """Delete the students of all other trials, except those that something else needs by now."""
    trials = [
        trial.model_copy(update={"student": None})
        if trial.number not in kept and _is_deleted(worker, session, trial)
        else trial
        for trial in state.trials
    ]
    return state.model_copy(update={"trials": trials})


def _is_deleted(worker: Worker, session: ProjectWriteSession, trial: Trial) -> bool:
    if trial.student is None:
        return True
    try:
        model: Model = lock_model(session, trial.student, "update")
    except NotFound:
        return True
    if uses_model(session, model.id) is not None or endpoint_of_model(session, model.id) is not None:
        return False
    prefix = stored_prefix(model.manifest_json)
    session.delete(model)
    enqueue_deletion(session, model)
    if prefix is not None:
        after_commit(session, lambda: worker.storage.delete_prefix(prefix))
    return True
