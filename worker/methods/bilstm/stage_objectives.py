"""What is taught in each stage: on which rows, and by which loss."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from app.domain.architectures import encoder_of
from app.domain.methods import BiLstmSpec
from app.domain.tasks import TASKS
from worker.contracts import IntArray, RunContext, TaskData, Teacher
from worker.data.batches import collate, concatenate, ordered_rows, subset
from worker.distillation.objectives import Objective, answer_loss
from worker.distillation.teacher_outputs import cached_logits, cached_states_asked, has_logits
from worker.distillation.training_objective import TrainingObjective, label_objective
from worker.methods.bilstm.losses import AnswerTerm, LabelTerm, Lookup, StatesTerm, Sum, Term
from worker.methods.bilstm.stages import Stage

_LABELLED_SHARE = 8
"""In joint training at least one row in so many is labelled."""

_BATCH_SIZE = 128


class StageObjectives:
    """What each stage of one job is taught; the teacher's outputs are computed, or found in the cache."""

    def __init__(self, teacher: Teacher, data: TaskData, spec: BiLstmSpec, context: RunContext) -> None:
        self._data = data
        self._spec = spec
        self._context = context
        self.labels = label_objective(data, context)
        self.everything = data.train if data.unlabeled is None else concatenate(data.train, data.unlabeled)
        self._states_t: Lookup | None = None
        self._dev_states_t: Lookup | None = None
        if not teacher.is_untrained:
            state = teacher_state(teacher, data, spec)
            states = partial(cached_states_asked, teacher, state=state, pad_id=data.pad_id, context=context)
            # Before the logits, which their pass leaves in the cache.
            self._states_t, self._dev_states_t = states(self.everything), states(data.dev)
        logits = partial(cached_logits, teacher, pad_id=data.pad_id, context=context)
        self._logits_t = logits(self.everything)
        self._dev_logits_t = logits(data.dev) if has_logits(teacher, data.dev) else None

    def of(self, stage: Stage) -> TrainingObjective:
        """The first two are taught on all texts, as if none had a label."""
        match stage:
            case "representation":
                term: Term = self._states_term(self._states_t)
            case "logits":
                term = AnswerTerm(self._logits_t, self._spec.soft_targets)
            case "labels":
                return self.labels
        return TrainingObjective(self.everything, Sum(term), self._data.pad_id)

    def measure_of(self, stage: Stage) -> Callable[[nn.Module], float] | None:
        """How near a student is to the teacher on dev, 0 is best; None: the task's metric tells."""
        match stage:
            case "representation":
                term: Term = self._states_term(self._dev_states_t)
            case "logits":
                if self._dev_logits_t is None:
                    return None
                term = AnswerTerm(self._dev_logits_t, self._spec.soft_targets)
            case "labels":
                return None
        return lambda network: -self._dev_loss(network, Sum(term))

    def joint(self) -> TrainingObjective:
        """All at once, the labelled rows so often that the labels are heard."""
        origin = _with_labelled_repeated(len(self._data.train), len(self.everything))
        smoothing = self._context.training.label_smoothing
        terms: list[Term] = [
            LabelTerm(answer_loss(self._data.task, smoothing=smoothing)),
            AnswerTerm(_at(origin, self._logits_t), self._spec.soft_targets),
        ]
        if self._states_t is not None:
            terms.append(self._states_term(_at(origin, self._states_t)))
        return TrainingObjective(subset(self.everything, origin), Sum(*terms), self._data.pad_id)

    @property
    def has_states(self) -> bool:
        """Whether there is a network whose states can be learnt."""
        return self._states_t is not None

    def _states_term(self, states_t: Lookup | None) -> Term:
        assert states_t is not None
        return StatesTerm(states_t, self._spec.representation_loss)

    @torch.inference_mode()
    def _dev_loss(self, network: nn.Module, loss: Objective) -> float:
        dev, device = self._data.dev, self._context.device
        network.eval()
        total = 0.0
        for rows in ordered_rows(dev.lengths, batch_size=_BATCH_SIZE):
            batch = collate(dev, rows, pad_id=self._data.pad_id, device=device)
            total += float(loss(network, batch)) * len(rows)
        network.train()
        return total / len(dev)


def teacher_state(teacher: Teacher, data: TaskData, spec: BiLstmSpec) -> int:
    """Which of the teacher's states is learnt."""
    layers = encoder_of(teacher.architecture).shape.layers
    if spec.teacher_layer is None:
        return layers if TASKS[data.task].answering == "text" else (layers + 1) // 2
    return spec.teacher_layer


def _with_labelled_repeated(labelled: int, everything: int) -> IntArray:
    """Rows of a split that begins with the labelled ones, these as often as makes a fair share of all."""
    times = max(1, math.ceil((everything - labelled) / ((_LABELLED_SHARE - 1) * labelled)))
    rows = np.arange(everything)
    return np.concatenate([np.tile(rows[:labelled], times), rows[labelled:]])


def _at(origin: IntArray, lookup: Lookup) -> Lookup:
    """A look-up by rows of a split that was put together from rows of another."""
    return lambda batch: lookup(replace(batch, rows=origin[batch.rows]))
