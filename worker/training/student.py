"""From a network to a finished student: the phases, the objective and the selection that methods share."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn
from transformers import PreTrainedModel

from app.domain.methods import DistillationTerms
from app.domain.planning import most_epochs, planned_epochs
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import TrainingObjective, distillation_objective
from worker.evaluation.quality import dev_score
from worker.parameterization.parameterizations import DenseWeights, Rates
from worker.training.dev_curve import FINAL_GAIN
from worker.training.dropout import set_dropout
from worker.training.loop import Phase, total_steps, train
from worker.training.schedules import PhaseSchedule
from worker.transfer.initialisation import InitialStudent

LEARNING_RATE = 5e-4
"""The default peak rate of a small student; large networks want less."""
_ROUND = 0.5
"""Of the planned steps, in a round that is added while quality rises."""
_ROUND_RATE = 0.5
"""Of the peak rate, in such a round."""


def rates_of(context: RunContext, *, default: float = LEARNING_RATE) -> Rates:
    training = context.training
    return Rates(training.learning_rate or default, training.weight_decay)


def dense_phase(
    network: PreTrainedModel,
    training_objective: TrainingObjective,
    context: RunContext,
    *,
    name: str = "training",
    schedule: PhaseSchedule | None = None,
    default_rate: float = LEARNING_RATE,
) -> Phase:
    """Some steps on the network's own weights; default: all of the training's."""
    rates = rates_of(context, default=default_rate)
    return Phase(
        name,
        lambda: DenseWeights(network, rates, words=training_objective.words),
        schedule or PhaseSchedule(total_steps(training_objective.split, context.training)),
    )


def distilled_student(
    initial: InitialStudent,
    teacher: Teacher,
    data: TaskData,
    terms: DistillationTerms | None,
    context: RunContext,
    *,
    default_rate: float = LEARNING_RATE,
) -> Student:
    """Train all weights of an initial student in one phase, on the teacher's outputs or the labels alone.

    Args:
        initial: the network, and how the teacher's residual stream maps to its own.
        teacher: whose outputs are computed, or found in the cache.
        data: trained on.
        terms: None for the labels alone.
        context: device, cache and training.
        default_rate: the peak learning rate where the training names none.
    """
    objective = distillation_objective(terms, teacher, data, context, projection=initial.projection)
    phase = dense_phase(initial.network, objective, context, default_rate=default_rate)
    return train_student(
        initial.network,
        data,
        phases=[phase],
        training_objective=objective,
        context=context,
        default_rate=default_rate,
    )


def train_student(
    network: PreTrainedModel,
    data: TaskData,
    *,
    phases: Sequence[Phase],
    training_objective: TrainingObjective,
    context: RunContext,
    default_rate: float = LEARNING_RATE,
) -> Student:
    """Train a network through its phases; the step that did best on dev is the student.

    Where the training may take more epochs, all weights train on for as long as quality on dev rises, in
    rounds of half the planned steps that begin at half the peak rate.

    Args:
        network: trained in place.
        data: trained on.
        phases: of the method.
        training_objective: of phases without one of their own.
        context: device, training and reports.
        default_rate: the peak learning rate where the training names none.
    """
    if context.training.dropout is not None:
        set_dropout(network, context.training.dropout)

    def evaluate(candidate: nn.Module) -> float:
        return dev_score(candidate, data, device=context.device, metric=context.training.metric)

    result = train(
        network,
        training_objective,
        phases=phases,
        extensions=_extensions(network, phases, training_objective, context, default_rate=default_rate),
        evaluate=evaluate,
        context=context,
    )
    return Student(
        network=network,
        metrics={
            "planned_steps": sum(phase.steps for phase in phases),
            "steps": result.steps,
            "best_step": result.best_step,
            FINAL_GAIN: result.final_gain,
            "seconds_per_step": result.seconds_per_step,
        },
    )


def _extensions(
    network: PreTrainedModel,
    phases: Sequence[Phase],
    training_objective: TrainingObjective,
    context: RunContext,
    *,
    default_rate: float,
) -> list[Phase]:
    """Rounds that a training may have beside its phases, on what the last of these learns from."""
    training = context.training
    planned = sum(phase.steps for phase in phases)
    left = round(planned * (most_epochs(training) / planned_epochs(training) - 1))
    length = max(1, round(planned * _ROUND))
    own_objective = phases[-1].training_objective
    rounds = []
    while left > 0:
        schedule = PhaseSchedule(min(length, left), warmup_share=0.5, rates=(_ROUND_RATE, 0.0))
        extension = dense_phase(
            network,
            own_objective or training_objective,
            context,
            name="extension",
            schedule=schedule,
            default_rate=default_rate,
        )
        rounds.append(replace(extension, training_objective=own_objective))
        left -= length
    return rounds
