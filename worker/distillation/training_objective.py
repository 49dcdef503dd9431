"""What a student is taught: on which rows, and what is made small there."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from app.domain.architectures import EncoderCard, ModelCard
from app.domain.methods import DistillationTerms
from worker.contracts import IntArray, RunContext, TaskData, Teacher, TokenizedSplit
from worker.data.batches import concatenate
from worker.distillation.feature_terms import Inside
from worker.distillation.objectives import (
    DistillationLoss,
    InnerTerm,
    LabelLoss,
    Masking,
    Objective,
    answer_loss,
)
from worker.distillation.teacher_outputs import LOGITS
from worker.distillation.teacher_signals import CachedTeaching, LiveTeaching, Teaching
from worker.distillation.teacher_translations import bitext_and_translations
from worker.networks.anatomy import ANATOMIES
from worker.networks.structure import runs
from worker.numerics.least_squares import principal_directions
from worker.transfer.activations import record
from worker.transfer.initialisation import calibration_batches


@dataclass(frozen=True)
class Lesson:
    """Rows and the loss on them."""

    split: TokenizedSplit
    objective: Objective
    pad_id: int
    """Fills up batches."""

    @property
    def words(self) -> IntArray | None:
        """Every word that batches hold, no id twice; None where others are met, too: masks, written words."""
        if isinstance(self.objective, Masking) or self.split.targets is not None:
            return None
        return np.union1d(self.split.ids, [self.pad_id])


def labels_lesson(data: TaskData, context: RunContext) -> Lesson:
    """The training split and its labels."""
    objective: Objective = LabelLoss(data.task, smoothing=context.training.label_smoothing)
    return Lesson(data.train, _masking(objective, data), data.pad_id)


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
        projection: (teacher width, student width), from the teacher's residual stream to that of a student
            that inherits it; None: a student drawn at random, or as wide as its teacher.
    """
    if terms is None:
        return labels_lesson(data, context)
    if data.task == "translation":
        lines = bitext_and_translations(terms, teacher, data, context)
        return Lesson(lines, LabelLoss(data.task, smoothing=context.training.label_smoothing), data.pad_id)
    split = data.train if data.unlabeled is None else concatenate(data.train, data.unlabeled)
    inside = None
    if terms.hidden_weight or terms.patient_weight or terms.relation_weight:
        inside = Inside(terms, _encoder(teacher.card), _encoder(context.card))
    outputs = [LOGITS, *(inside.outputs if inside else ())]
    teaching: Teaching
    if data.task == "masked_language_modeling":
        teaching = LiveTeaching(teacher, data, outputs, context)
    else:
        teaching = CachedTeaching(teacher, split, outputs, pad_id=data.pad_id, context=context)
    inner: list[tuple[float, InnerTerm]] = []
    if inside is not None:
        if projection is None and inside.compares_narrower_states:
            projection = principal_projection(teacher, data, context)
        inner = inside.terms(teaching, teacher.network.to(context.device), projection)
    loss = answer_loss(data.task, smoothing=context.training.label_smoothing)
    objective = DistillationLoss(terms, loss, teacher_logits=teaching.logits, inner=inner)
    return Lesson(split, _masking(objective, data), data.pad_id)


def principal_projection(teacher: Teacher, data: TaskData, context: RunContext) -> Tensor:
    """Principal directions of the teacher's last states, (teacher width, student width).

    What varies most is what a student that owes its teacher nothing can best be made to say. All states are
    mapped alike: a layer passes on what it was given.
    """
    card = _encoder(teacher.card)
    last = ANATOMIES[card.architecture].part_name(runs(card) - 1, "ffn_norm")
    batches = calibration_batches(data, device=context.device)
    states = record(teacher.network.to(context.device), batches, after=[last])[f"{last} >"]
    return principal_directions(states, _encoder(context.card).shape.hidden)


def _encoder(card: ModelCard) -> EncoderCard:
    assert isinstance(card, EncoderCard)
    return card


def _masking(objective: Objective, data: TaskData) -> Objective:
    if data.task != "masked_language_modeling":
        return objective
    assert data.mask_id is not None
    return Masking(objective, mask_id=data.mask_id, vocabulary=data.vocabulary)
