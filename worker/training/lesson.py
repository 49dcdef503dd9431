"""What a student is taught: on which rows, and what is made small there."""

from dataclasses import dataclass

from torch import Tensor

from app.core.shapes import EncoderCard
from app.core.specs import DistillationTerms
from worker.contracts import RunContext, TaskData, Teacher, TokenizedSplit
from worker.data import concatenate
from worker.modeling.anatomy import ANATOMIES
from worker.modeling.calibration import record
from worker.modeling.regression import principal_directions
from worker.training.initialisation import calibration_batches
from worker.training.objectives import DistillationLoss, LabelLoss, Masking, Objective, answer_loss
from worker.training.teacher_outputs import cached_hidden_states, cached_logits


@dataclass(frozen=True)
class Lesson:
    """Rows and the loss on them."""

    split: TokenizedSplit
    objective: Objective


def labels_lesson(data: TaskData, context: RunContext) -> Lesson:
    """The training split and its labels."""
    objective: Objective = LabelLoss(data.task, smoothing=context.training.label_smoothing)
    return Lesson(data.train, _masking(objective, data))


def lesson_of(
    terms: DistillationTerms | None,
    teacher: Teacher,
    data: TaskData,
    context: RunContext,
    *,
    projection: Tensor | None = None,
) -> Lesson:
    """The labels, or the teacher's terms where there are any; then unlabelled rows are learnt from as well.

    Args:
        terms: None for the labels alone.
        teacher: whose outputs are computed, or found in the cache.
        data: trained on.
        context: device and cache.
        projection: (teacher width, student width) for the hidden states; default: their principal directions.
    """
    if terms is None:
        return labels_lesson(data, context)
    split = data.train if data.unlabeled is None else concatenate(data.train, data.unlabeled)
    loss = answer_loss(data.task, smoothing=context.training.label_smoothing)
    teacher_logits = cached_logits(teacher, split, pad_id=data.pad_id, context=context)
    hidden = None
    if terms.hidden_weight:
        if projection is None:
            projection = state_projection(teacher, data, context)
        hidden = cached_hidden_states(
            teacher, split, projection=projection, pad_id=data.pad_id, context=context
        )
    return Lesson(split, DistillationLoss(terms, loss, teacher_logits=teacher_logits, teacher_hidden=hidden))


def state_projection(teacher: Teacher, data: TaskData, context: RunContext) -> Tensor:
    """Principal directions of the teacher's last states, (teacher width, student width)."""
    assert isinstance(teacher.card, EncoderCard)
    last = ANATOMIES[teacher.card.architecture].part_name(teacher.card.shape.layers - 1, "ffn_norm")
    batches = calibration_batches(data, device=context.device)
    states = record(teacher.network.to(context.device), batches, after=[last])[f"{last} >"]
    assert isinstance(context.card, EncoderCard)
    return principal_directions(states, context.card.shape.hidden)


def _masking(objective: Objective, data: TaskData) -> Objective:
    if data.task != "masked_language_modeling":
        return objective
    assert data.mask_id is not None
    return Masking(objective, mask_id=data.mask_id, vocabulary=data.vocabulary)
