"""The stages of a job, in their order, between its supervisor's: fetching and storing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.domain.planning.stages import CONTROLS, TRAINING
from worker.job.stages.controls import train_controls
from worker.job.stages.inputs import load
from worker.job.stages.outputs import check, evaluate, export, measure
from worker.job.stages.preparation import is_trimmed, plan, tokenize, trim
from worker.job.stages.teacher import evaluate_teacher
from worker.job.stages.training import train
from worker.job.stages.vectors import ask_teacher, is_measured_by_vectors, is_reduced, reduce
from worker.job.state import JobState


@dataclass(frozen=True)
class Stage:
    """One step of a job."""

    name: str
    """In progress events, errors and the report's seconds."""
    run: Callable[[JobState], None]
    is_needed: Callable[[JobState], bool] = lambda _: True
    """Asked when the stages before it are done."""


STAGES = (
    Stage("loading", load),
    Stage("tokenizing", tokenize),
    Stage("planning", plan),
    Stage("asking_teacher", ask_teacher, is_needed=is_measured_by_vectors),
    Stage("evaluating_teacher", evaluate_teacher, is_needed=lambda state: state.request.is_compared),
    Stage("reducing", reduce, is_needed=is_reduced),
    Stage("trimming", trim, is_needed=is_trimmed),
    Stage(TRAINING, train),
    Stage("evaluating", evaluate),
    Stage("exporting", export),
    Stage("checking", check),
    Stage(CONTROLS, train_controls, is_needed=lambda state: bool(state.spec.controls)),
    Stage("measuring", measure),
)


def needed_stages(state: JobState) -> Iterator[Stage]:
    """Those that a job goes through; each is to be run before the next one is asked for."""
    return (stage for stage in STAGES if stage.is_needed(state))
