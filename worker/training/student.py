"""From a network to a finished student: the phases, the objective and the selection that methods share."""

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from worker.contracts import RunContext, Student, TaskData
from worker.distillation.training_objective import TrainingObjective
from worker.evaluation.quality import dev_score
from worker.parameterization.parameterizations import DenseWeights, Rates
from worker.training.dropout import set_dropout
from worker.training.loop import Phase, total_steps, train

LEARNING_RATE = 5e-4
"""The default peak rate of a small student; large networks want less."""


def rates_of(context: RunContext, *, default: float = LEARNING_RATE) -> Rates:
    training = context.training
    return Rates(training.learning_rate or default, training.weight_decay)


def dense_phase(
    network: PreTrainedModel,
    training_objective: TrainingObjective,
    context: RunContext,
    *,
    default_rate: float = LEARNING_RATE,
) -> Phase:
    """All steps on the network's own weights."""
    rates = rates_of(context, default=default_rate)
    return Phase(
        "training",
        total_steps(training_objective.split, context.training),
        lambda: DenseWeights(network, rates, words=training_objective.words),
    )


def train_student(
    network: PreTrainedModel,
    data: TaskData,
    *,
    phases: Sequence[Phase],
    training_objective: TrainingObjective,
    context: RunContext,
) -> Student:
    """Train a network through its phases; the step that did best on dev is the student."""
    if context.training.dropout is not None:
        set_dropout(network, context.training.dropout)

    def evaluate(candidate: nn.Module) -> float:
        return dev_score(candidate, data, device=context.device, metric=context.training.metric)

    result = train(
        network,
        training_objective.split,
        phases=phases,
        objective=training_objective.objective,
        evaluate=evaluate,
        pad_id=data.pad_id,
        context=context,
    )
    return Student(
        network=network,
        metrics={
            "steps": result.steps,
            "best_step": result.best_step,
            "seconds_per_step": result.seconds_per_step,
        },
    )
