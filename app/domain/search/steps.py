"""One step of a search: from its stored state and what its jobs say to what is to be done."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from app.domain.documents.search import Measurement, SearchState, Trial, TrialStatus
from app.domain.search.decision import decide
from app.domain.search.halving import promoted, rungs

AT_ONCE: Final = 4
"""Short runs that wait or run together: which come next depends on those that have ended."""
_SHORT_RUNS: Final = 0.5
"""Of the minutes: then no further candidate is begun, so that the promising ones get their full runs."""

Propose = Callable[[SearchState], int | None]
"""The index of the candidate to try next, given all trials so far; None: there is none left."""


class Ended(NamedTuple):
    """What became of a trial's job."""

    status: TrialStatus
    student: str | None = None
    measurements: tuple[Measurement, ...] = ()


class NextRun(NamedTuple):
    """A run that is to begin."""

    candidate: int
    rung: int
    share: float


class Step(NamedTuple):
    """What follows from a state."""

    state: SearchState
    ended: list[Trial]
    runs: list[NextRun]
    stops: list[str]
    """Jobs that are to be cancelled."""


def take_step(state: SearchState, ended: Mapping[str, Ended], *, elapsed_s: float, propose: Propose) -> Step:
    """The state with what its jobs came to, and what is to be done next; the same for the same arguments.

    Args:
        state: as stored.
        ended: by the job's id, of running trials whose job has ended.
        elapsed_s: since the search began.
        propose: chooses the candidate to try next.
    """
    trials = [_with_end(trial, ended.get(trial.job)) for trial in state.trials]
    just_ended = [new for new, old in zip(trials, state.trials, strict=True) if new is not old]
    state = state.model_copy(update={"trials": trials})
    state.outcome = decide(state.finished, state.goals)
    minutes = state.budget.minutes
    if state.stop is None and minutes is not None and elapsed_s >= 60 * minutes:
        state.stop = "budget"
    if state.stop is not None:
        running = [trial.job for trial in state.running]
        state.is_over = not running
        return Step(state, just_ended, [], running)
    runs = _next_runs(state, elapsed_s, propose)
    state.is_over = not runs and not state.running
    return Step(state, just_ended, runs, [])


def with_runs(state: SearchState, runs: list[NextRun], jobs: list[str]) -> SearchState:
    """The state once jobs were made for runs."""
    begun = [
        Trial(number=len(state.trials) + at, candidate=run.candidate, rung=run.rung, share=run.share, job=job)
        for at, (run, job) in enumerate(zip(runs, jobs, strict=True), start=1)
    ]
    return state.model_copy(update={"trials": [*state.trials, *begun]})


def _with_end(trial: Trial, end: Ended | None) -> Trial:
    if end is None or trial.status != "running":
        return trial
    return trial.model_copy(
        update={"status": end.status, "student": end.student, "measurements": list(end.measurements)}
    )


def _next_runs(state: SearchState, elapsed_s: float, propose: Propose) -> list[NextRun]:
    steps = rungs(min(state.budget.most_trials, len(state.candidates)))
    full = sum(trial.rung > 0 for trial in state.trials)
    minutes = state.budget.minutes
    may_begin = full == 0 and (minutes is None or elapsed_s < 60 * minutes * _SHORT_RUNS)
    runs: list[NextRun] = []
    proposed = state
    while may_begin and len(proposed.trials) < steps[0].width and len(proposed.running) < AT_ONCE:
        candidate = propose(proposed)
        if candidate is None:
            break
        run = NextRun(candidate, 0, steps[0].share)
        runs.append(run)
        proposed = with_runs(proposed, [run], [""])
    if runs or state.running or full == sum(step.width for step in steps[1:]):
        return runs
    # One at a time: what it gains decides which comes next.
    candidate = promoted(state)
    return [] if candidate is None else [NextRun(candidate, 1, 1.0)]
