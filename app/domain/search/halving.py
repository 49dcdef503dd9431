"""Successive halving: all candidates in short runs, the promising ones in full."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.domain.documents.auto import Goals
from app.domain.documents.search import Candidate, SearchState, Trial
from app.domain.search.decision import measure_of, meets, most_retained

SHORT_SHARE: Final = 0.25
PROMOTED_SHARE: Final = 0.25
_EXPECTED_GAIN: Final = 0.5
_FEW: Final = 2
"""So few candidates are trained in full at once: a short run would tell little."""


class Rung(NamedTuple):
    """How many candidates are run, and for which share of their planned epochs."""

    width: int
    share: float


def rungs(trials: int) -> tuple[Rung, ...]:
    """The rungs of a search that tries so many candidates."""
    if trials <= _FEW:
        return (Rung(trials, 1.0),)
    return (Rung(trials, SHORT_SHARE), Rung(math.ceil(trials * PROMOTED_SHARE), 1.0))


def planned_runs(state: SearchState) -> int:
    """How many runs a search has at most."""
    return sum(rung.width for rung in rungs(min(state.budget.most_trials, len(state.candidates))))


def is_full(candidate: Candidate, share: float) -> bool:
    """Whether a longer run would make another student."""
    return share >= 1 or not candidate.method.trains_in_steps


def promoted(state: SearchState) -> int | None:
    """The index of the candidate to train in full next; None where no longer run could change the answer.

    A longer run changes it where its student would be better than the best so far. Of those that are expected
    to meet the goal then, the smallest comes first; if there is none, what is expected to lack least. What a
    longer run gains is expected to be what it gained in the candidates that had one.
    """
    limit = _best_measure(state.finished, state.goals)
    begun = {trial.candidate for trial in state.trials if trial.rung > 0}
    short = [
        trial
        for trial in state.finished
        if trial.rung == 0
        and trial.candidate not in begun
        and not is_full(state.candidates[trial.candidate], trial.share)
        and smallest(trial, state.goals) < limit
    ]

    def order(trial: Trial) -> tuple[float, float, int]:
        lacking = max(0.0, state.goals.retain - expected_low(state, trial))
        return lacking, smallest(trial, state.goals), trial.number

    return min(short, key=order).candidate if short else None


def expected_low(state: SearchState, trial: Trial) -> float:
    """The lower bound of what the student of a full run is expected to retain."""
    low = max(measured.retained_low for measured in trial.measurements)
    if is_full(state.candidates[trial.candidate], trial.share):
        return low
    return low + _gain(state) * max(0.0, 1 - most_retained(trial))


def _gain(state: SearchState) -> float:
    """Which share of what a short run lacks of the teacher's quality a full run makes up for."""
    short = {trial.candidate: most_retained(trial) for trial in state.finished if trial.rung == 0}
    gains = [
        (most_retained(trial) - short[trial.candidate]) / (1 - short[trial.candidate])
        for trial in state.finished
        if trial.rung > 0 and short.get(trial.candidate, 1) < 1
    ]
    return max(0.0, sum(gains) / len(gains)) if gains else _EXPECTED_GAIN


def smallest(trial: Trial, goals: Goals) -> float:
    """The least that any of its files has of what is minimised."""
    return min(measure_of(measured, goals.minimize) for measured in trial.measurements)


def _best_measure(trials: Sequence[Trial], goals: Goals) -> float:
    """Of what meets the goals; infinite where nothing does."""
    return min(
        (
            measure_of(measured, goals.minimize)
            for trial in trials
            for measured in trial.measurements
            if meets(measured, goals)
        ),
        default=math.inf,
    )
