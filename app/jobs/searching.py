"""What a search may try, what it will take, and how far it is."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from app.core.db import ProjectReadSession
from app.core.db.datasets import get_dataset
from app.core.db.models import get_model
from app.domain.documents import JobSpec, Target
from app.domain.documents.auto import AutoSpec, Goals, SearchBudget
from app.domain.documents.search import Candidate, Outcome, SearchState, StopReason, Trial
from app.domain.errors import InvalidRequest
from app.domain.job_labels import job_labels
from app.domain.methods import MethodSpec
from app.domain.planning.compatibility import is_compared, needs_head
from app.domain.planning.stages import TRAINING
from app.domain.search.candidates import distinct, fitting_methods, targets_of, within_goals
from app.domain.search.halving import is_full, rungs
from app.jobs.planning import JobPlan, plan_job

_MOST_NAMED = 5


class PlannedCandidate(BaseModel):
    """A student that the search may try."""

    method: str
    target: Target
    parameters: int
    size_mb: dict[str, float] = Field(description="By precision, in megabytes (10^6 bytes).")
    seconds: float = Field(description="Estimated, of a full run.")

    @classmethod
    def of(cls, candidate: Candidate) -> "PlannedCandidate":
        return cls(
            method=candidate.method.name, **candidate.model_dump(include=set(cls.model_fields) - {"method"})
        )


class SearchPlanRead(BaseModel):
    """Plan of a search: what it may try, and what it takes."""

    object: Literal["search_plan"] = "search_plan"
    goals: Goals
    budget: SearchBudget
    candidates: list[PlannedCandidate]
    trials: int = Field(description="Candidates that are tried in short runs.")
    full_runs: int = Field(description="Of these, at most so many are then trained in full.")
    worker_minutes: float = Field(description="Estimated minutes of all runs together.")
    minutes: float = Field(description="Estimated minutes on the workers that are there, at least one.")

    @classmethod
    def of(cls, state: SearchState, *, workers: int) -> "SearchPlanRead":
        steps = rungs(min(state.budget.most_trials, len(state.candidates)))
        minutes = _worker_minutes(state)
        at_once = max(1, min(workers, steps[0].width))
        elapsed = minutes / at_once
        if state.budget.minutes is not None:
            elapsed = min(elapsed, state.budget.minutes)
        return cls(
            goals=state.goals,
            budget=state.budget,
            candidates=[PlannedCandidate.of(candidate) for candidate in state.candidates],
            trials=steps[0].width,
            full_runs=steps[-1].width,
            worker_minutes=min(minutes, elapsed * at_once),
            minutes=elapsed,
        )


class TrialRead(Trial):
    """A trial of a search."""

    method: MethodSpec
    target: Target

    @classmethod
    def of(cls, trial: Trial, candidate: Candidate) -> "TrialRead":
        return cls(**vars(trial), method=candidate.method, target=candidate.target)


class SearchRead(Outcome):
    """How far a search is, and what it has found so far."""

    goals: Goals
    budget: SearchBudget
    candidates: int = Field(description="Number of students that it may try.")
    trials: list[TrialRead]
    stopped_by: StopReason | None = Field(description="Null for a search that runs, or ran to its end.")

    @classmethod
    def of(cls, state: SearchState) -> "SearchRead":
        return cls(
            **vars(state.outcome),
            goals=state.goals,
            budget=state.budget,
            candidates=len(state.candidates),
            trials=[TrialRead.of(trial, state.candidates[trial.candidate]) for trial in state.trials],
            stopped_by=state.stop,
        )


def plan_search(session: ProjectReadSession, spec: JobSpec) -> SearchState:
    """The beginning of a search: all that it may try, each planned as a job of its own.

    Raises:
        NotFound: the teacher or the data set does not exist.
        InvalidRequest: nothing can be searched for, or no candidate is within the goals.
        Conflict: the teacher has no head for the task.
    """
    asked = spec.search
    assert asked is not None, "a job of one method has no search"
    if spec.teacher is None:
        raise InvalidRequest(
            "teacher_required",
            "A search compares students with their teacher. Give a teacher.",
            pointer="#/teacher",
        )
    if spec.target is not None:
        raise InvalidRequest(
            "target_not_allowed",
            "A search chooses the size itself. Omit target, and give method.goals instead.",
            pointer="#/target",
        )
    model, data = get_model(session, spec.teacher).manifest, get_dataset(session, spec.dataset).manifest
    found: list[Candidate] = []
    refusals: list[InvalidRequest] = []
    for method in fitting_methods(data.task, model.architecture, asked.methods):
        for target in targets_of(method, vocabulary=model.architecture.vocabulary):
            candidate = spec.model_copy(update={"method": method, "target": target, "controls": False})
            labels = job_labels(model, data, needs_head=needs_head(candidate, data))
            if not is_compared(candidate, model, data, labels):
                continue
            try:
                found.append(
                    _candidate(target, plan_job(session, candidate), words=model.architecture.vocabulary)
                )
            except InvalidRequest as refusal:
                refusals.append(refusal)
    candidates = [one for one in distinct(found) if within_goals(one, asked.goals)]
    if not candidates:
        raise _nothing_to_try(found, refusals, asked.goals)
    return SearchState(goals=asked.goals, budget=asked.budget, candidates=candidates)


def _candidate(target: Target, planned: JobPlan, *, words: int) -> Candidate:
    student, estimate = planned.plan.student, planned.plan.estimate
    method = planned.spec.method
    assert not isinstance(method, AutoSpec), "a candidate is of one method"
    if (kept := student.architecture.vocabulary) < words:  # as the plan chose
        target = target.model_copy(update={"vocabulary_size": kept})
    return Candidate(
        method=method,
        target=target,
        training=planned.spec.training,
        parameters=student.parameters.total,
        size_mb=dict(student.size_mb),
        seconds=estimate.seconds,
        training_seconds=math.fsum(stage.seconds for stage in estimate.stages if stage.stage == TRAINING),
    )


def _worker_minutes(state: SearchState) -> float:
    """Of all runs, each as long as the mean of the candidates; one that cannot be shortened is not."""
    steps = rungs(min(state.budget.most_trials, len(state.candidates)))
    seconds = 0.0
    for rung in steps:
        runs = [
            candidate.seconds
            - (0.0 if is_full(candidate, rung.share) else (1 - rung.share) * candidate.training_seconds)
            for candidate in state.candidates
        ]
        seconds += rung.width * math.fsum(runs) / len(runs)
    return seconds / 60


def _nothing_to_try(
    found: Sequence[Candidate], refusals: Sequence[InvalidRequest], goals: Goals
) -> InvalidRequest:
    if found:
        smallest = min(found, key=lambda candidate: candidate.parameters)
        return InvalidRequest(
            "goals_too_small",
            f"The smallest student of this teacher has {smallest.parameters:,} parameters "
            f"({min(smallest.size_mb.values()):.3g} MB). Allow at least that.",
            pointer="#/method/goals/" + ("max_size_mb" if goals.max_parameters is None else "max_parameters"),
            smallest_parameters=smallest.parameters,
            smallest_size_mb=min(smallest.size_mb.values()),
        )
    reasons = " ".join(dict.fromkeys(refusal.message for refusal in refusals[:_MOST_NAMED]))
    return InvalidRequest(
        "nothing_to_search",
        f"No method that the search may choose fits this teacher and this task. {reasons}".rstrip(),
        pointer="#/method",
    )
