"""What a student is taught: on which rows, and what is made small there."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from app.domain.architectures import encoder_of
from app.domain.methods import DistillationTerms
from app.domain.tasks import TASKS
from worker.contracts import IntArray, RunContext, TaskData, Teacher, TokenizedSplit
from worker.data.batches import concatenate
from worker.distillation.feature_terms import FeatureTerms
from worker.distillation.objectives import (
    DistillationLoss,
    InnerTerm,
    LabelLoss,
    Masking,
    Objective,
)
from worker.distillation.teacher_outputs import LOGITS
from worker.distillation.teacher_signals import CachedTeacherSignals, LiveTeacherSignals, TeacherSignals
from worker.distillation.teacher_translations import bitext_and_translations
from worker.networks.views import encoder_view
from worker.numerics.least_squares import principal_directions
from worker.transfer.activations import capture_activations
from worker.transfer.initialisation import calibration_batches


@dataclass(frozen=True)
class TrainingObjective:
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


def label_objective(data: TaskData, context: RunContext) -> TrainingObjective:
    """The training split and its labels."""
    objective: Objective = LabelLoss(
        data.task, smoothing=context.training.label_smoothing, activation=data.activation
    )
    return TrainingObjective(data.train, _masking(objective, data), data.pad_id)


def distillation_objective(
    terms: DistillationTerms | None,
    teacher: Teacher,
    data: TaskData,
    context: RunContext,
    *,
    projection: Tensor | None = None,
) -> TrainingObjective:
    """The labels, or the teacher's terms where there are any; then unlabelled rows are learnt from as well.

    Args:
        terms: None for the labels alone; where there are none, for the usual terms.
        teacher: whose outputs are computed, or found in the cache.
        data: trained on.
        context: device and cache.
        projection: (teacher width, student width), from the teacher's residual stream to that of a student
            that inherits it; None: a student drawn at random, or as wide as its teacher.
    """
    if terms is None and TASKS[data.task].answers_in_vectors:
        terms = DistillationTerms()  # the teacher's answers are all there is to learn
    if terms is None:
        return label_objective(data, context)
    if TASKS[data.task].writes:
        lines = bitext_and_translations(terms, teacher, data, context)
        return TrainingObjective(
            lines, LabelLoss(data.task, smoothing=context.training.label_smoothing), data.pad_id
        )
    split = data.train if data.unlabeled is None else concatenate(data.train, data.unlabeled)
    features = None
    if terms.hidden_weight or terms.patient_weight or terms.relation_weight:
        features = FeatureTerms(terms, encoder_of(teacher.architecture), encoder_of(context.architecture))
    outputs = [LOGITS, *(features.outputs if features else ())]
    signals: TeacherSignals
    if TASKS[data.task].masks_inputs:
        signals = LiveTeacherSignals(teacher, data, outputs, context)
    else:
        signals = CachedTeacherSignals(teacher, split, outputs, pad_id=data.pad_id, context=context)
    inner: list[tuple[float, InnerTerm]] = []
    if features is not None:
        if projection is None and features.compares_narrower_states:
            projection = principal_projection(teacher, data, context)
        inner = features.terms(signals, teacher.network.to(context.device), projection)
    objective = DistillationLoss(
        terms,
        data.task,
        smoothing=context.training.label_smoothing,
        activation=data.activation,
        teacher_logits=signals.logits,
        inner=inner,
    )
    return TrainingObjective(split, _masking(objective, data), data.pad_id)


def principal_projection(teacher: Teacher, data: TaskData, context: RunContext) -> Tensor:
    """Principal directions of the teacher's last states, (teacher width, student width).

    What varies most is what a student that owes its teacher nothing can best be made to say. All states are
    mapped alike: a layer passes on what it was given.
    """
    network = teacher.network.to(context.device)
    last = encoder_view(network, teacher.architecture).last
    batches = calibration_batches(data, device=context.device)
    states = capture_activations(network, batches, after=[last]).output_of(last)
    return principal_directions(states, encoder_of(context.architecture).shape.hidden)


def _masking(objective: Objective, data: TaskData) -> Objective:
    if not TASKS[data.task].masks_inputs:
        return objective
    assert data.mask_id is not None
    return Masking(objective, mask_id=data.mask_id, vocabulary=data.vocabulary)
