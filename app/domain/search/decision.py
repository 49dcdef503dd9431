"""What the trials of a search come to: the Pareto front, and the smallest student that meets the goals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from app.domain.documents.auto import Goals, Minimised
from app.domain.documents.search import Choice, Measurement, Outcome, Trial, UnmetGoal


class _Measured(NamedTuple):
    trial: int
    of: Measurement

    @property
    def choice(self) -> Choice:
        return Choice(trial=self.trial, precision=self.of.precision)


def measure_of(measured: Measurement, minimised: Minimised) -> float:
    """What is minimised, of one file; infinite where it was not measured."""
    match minimised:
        case "size":
            return measured.size_mb
        case "parameters":
            return float(measured.parameters)
        case "latency":
            return math.inf if measured.latency_ms is None else measured.latency_ms


def meets(measured: Measurement, goals: Goals) -> bool:
    """Whether a file meets all goals: the lower bound of what it retains, not its measured value."""
    return not any(_excess(measured, goals).values())


def most_retained(trial: Trial) -> float:
    return max(measured.retained for measured in trial.measurements)


def decide(trials: Sequence[Trial], goals: Goals) -> Outcome:
    """What comes of the trials that have finished.

    The front holds what no other file beats: at least as much quality for no more of what is minimised. Of
    two equal ones the earlier trial stays.
    """
    measured = [_Measured(trial.number, of) for trial in trials for of in trial.measurements]
    if not measured:
        return Outcome()
    front = _front(measured, goals)
    meeting = [one for one in measured if meets(one.of, goals)]
    if meeting:
        best = min(meeting, key=lambda one: (measure_of(one.of, goals.minimize), -one.of.retained, one.trial))
        return Outcome(front=front, best=best.choice)
    closest = min(
        measured,
        key=lambda one: (sum(_excess(one.of, goals).values()), measure_of(one.of, goals.minimize), one.trial),
    )
    return Outcome(front=front, closest=closest.choice, unmet=_unmet(closest, goals))


def _front(measured: Sequence[_Measured], goals: Goals) -> list[Choice]:
    kept: list[Choice] = []
    best = -math.inf
    order = sorted(
        measured, key=lambda one: (measure_of(one.of, goals.minimize), -one.of.retained, one.trial)
    )
    for one in order:
        if one.of.retained > best:
            kept.append(one.choice)
            best = one.of.retained
    return kept


def _unmet(closest: _Measured, goals: Goals) -> list[UnmetGoal]:
    reached = {
        "retain": (goals.retain, closest.of.retained_low),
        "max_latency_ms": (goals.max_latency_ms, closest.of.latency_ms),
        "max_size_mb": (goals.max_size_mb, closest.of.size_mb),
        "max_parameters": (goals.max_parameters, closest.of.parameters),
    }
    missed = [name for name, excess in _excess(closest.of, goals).items() if excess > 0]
    found = []
    for name in missed:
        asked, value = reached[name]
        assert asked is not None
        found.append(
            UnmetGoal(goal=name, asked=asked, closest=0.0 if value is None else value, trial=closest.trial)
        )
    return found


def _excess(measured: Measurement, goals: Goals) -> dict[str, float]:
    """By goal, by which share of it a file misses it; 0 where it meets it."""
    latency = math.inf if measured.latency_ms is None else measured.latency_ms
    return {
        "retain": max(0.0, goals.retain - measured.retained_low) / goals.retain,
        "max_latency_ms": _over(latency, goals.max_latency_ms),
        "max_size_mb": _over(measured.size_mb, goals.max_size_mb),
        "max_parameters": _over(measured.parameters, goals.max_parameters),
    }


def _over(value: float, limit: float | None) -> float:
    return 0.0 if limit is None else max(0.0, value - limit) / limit
