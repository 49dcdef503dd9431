"""From a network to a finished student: the phases, the loss and the selection that methods share."""

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PreTrainedModel

from app.core.specs import DistillationTerms
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.evaluation.evaluate import predict_logits, quality
from worker.evaluation.metrics import MAIN_METRIC
from worker.modeling.anatomy import ANATOMIES
from worker.modeling.calibration import record
from worker.modeling.regression import principal_directions
from worker.training.initialisation import calibration_batches
from worker.training.loop import Phase, total_steps, train
from worker.training.objectives import DistillationLoss, Objective, label_loss
from worker.training.teacher_outputs import cached_hidden_states, cached_logits
from worker.training.weights import DenseWeights, Rates

LEARNING_RATE = 5e-4
"""The default peak rate of a small student; large networks want less."""


def rates_of(context: RunContext) -> Rates:
    training = context.training
    return Rates(training.learning_rate or LEARNING_RATE, training.weight_decay)


def dense_phase(network: PreTrainedModel, data: TaskData, context: RunContext) -> Phase:
    """All steps on the network's own weights."""
    rates = rates_of(context)
    return Phase("training", total_steps(data.train, context.training), lambda: DenseWeights(network, rates))


def objective_of(
    terms: DistillationTerms | None,
    teacher: Teacher,
    data: TaskData,
    context: RunContext,
    *,
    projection: Tensor | None = None,
) -> Objective:
    """The labels' loss, or the teacher's terms where there are any.

    Args:
        terms: None for the labels alone.
        teacher: whose outputs are computed, or found in the cache.
        data: trained on.
        context: device and cache.
        projection: (teacher width, student width) for the hidden states; default: their principal directions.
    """
    if terms is None:
        return label_loss
    teacher_logits = cached_logits(teacher, data.train, pad_id=data.pad_id, context=context)
    if terms.hidden_weight == 0:
        return DistillationLoss(terms, teacher_logits=teacher_logits)
    if projection is None:
        last = ANATOMIES[teacher.card.architecture].part_name(teacher.card.shape.layers - 1, "ffn_norm")
        batches = calibration_batches(data, device=context.device)
        states = record(teacher.network.to(context.device), batches, after=[last])[f"{last} >"]
        projection = principal_directions(states, context.shape.hidden)
    hidden = cached_hidden_states(
        teacher, data.train, projection=projection, pad_id=data.pad_id, context=context
    )
    return DistillationLoss(terms, teacher_logits=teacher_logits, teacher_hidden=hidden)


def train_student(
    network: PreTrainedModel,
    data: TaskData,
    *,
    phases: Sequence[Phase],
    objective: Objective,
    context: RunContext,
) -> Student:
    """Train a network through its phases; the step that did best on dev is the student."""
    metric = MAIN_METRIC[data.task]

    def evaluate(candidate: nn.Module) -> float:
        logits = predict_logits(candidate, data.dev, pad_id=data.pad_id, device=context.device)
        value = quality(data.task, data.dev, logits)[metric.name]
        return value if metric.higher_is_better else -value

    result = train(
        network,
        data.train,
        phases=phases,
        objective=objective,
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
