"""The driver of Pea-KD."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from app.domain.methods import PeaKdSpec
from app.domain.methods.pea_kd import TEMPERATURE_OF_TWO
from app.domain.methods.terms import default_temperature
from worker.contracts import IntArray, RunContext, Student, TaskData, Teacher, TokenizedSplit
from worker.distillation.objectives import LabelLoss
from worker.distillation.teacher_outputs import teacher_logits
from worker.distillation.training_objective import TrainingObjective, distillation_objective
from worker.evaluation.evaluate import predict_logits
from worker.methods.pea_kd.predictions import CLASSES, Thresholds, judge
from worker.networks.views import head_view
from worker.parameterization.parameterizations import DenseWeights
from worker.training.loop import Phase, total_steps
from worker.training.schedules import PhaseSchedule
from worker.training.selection import PhaseSelection
from worker.training.student import rates_of, train_student
from worker.transfer.initialisation import first_layers_network

_LEARNING_RATE = 1e-4


class PeaKd:
    def compress(self, teacher: Teacher, data: TaskData, spec: PeaKdSpec, context: RunContext) -> Student:
        network = first_layers_network(teacher, data, context)
        terms = spec.distillation
        if terms.temperature is None:
            temperature = default_temperature(len(data.labels), of_two=TEMPERATURE_OF_TWO)
            terms = terms.model_copy(update={"temperature": temperature})
        training_objective = distillation_objective(terms, teacher, data, context)
        rates = rates_of(context, default=_LEARNING_RATE)
        steps = total_steps(training_objective.split, context.training)
        pretraining_steps = min(round(steps * spec.pretraining_ratio), steps - 1)

        output = head_view(network).output
        teachers_head = output.linear

        def under(head: nn.Linear) -> DenseWeights:
            network.set_submodule(output.name, head)
            return DenseWeights(network, rates, words=training_objective.words)

        final = Phase("distillation", lambda: under(teachers_head), PhaseSchedule(steps - pretraining_steps))
        phases = [final]
        if pretraining_steps:
            judging, dev = _judging(teacher, training_objective.split, data, context)

            def evaluate(candidate: nn.Module) -> float:
                return -_mean_loss(candidate, dev, data, context)

            begin = Phase(
                "pretraining",
                lambda: under(_judging_head(teachers_head, spread=network.config.initializer_range)),
                PhaseSchedule(pretraining_steps),
                PhaseSelection(evaluate),
                training_objective=judging,
            )
            phases = [begin, final]
        return train_student(
            network,
            data,
            phases=phases,
            training_objective=training_objective,
            context=context,
            default_rate=_LEARNING_RATE,
        )


def _judging(
    teacher: Teacher, taught: TokenizedSplit, data: TaskData, context: RunContext
) -> tuple[TrainingObjective, TokenizedSplit]:
    """Training rows and dev rows, each labelled with how the teacher does on it.

    The teacher has run over what is ``taught``, training rows and, behind them, any unlabelled ones.
    """
    said, dev = (
        teacher_logits(teacher, split, pad_id=data.pad_id, context=context) for split in (taught, data.dev)
    )
    train = said[: len(data.train)]
    thresholds = Thresholds.medians(train, _labels(data.train))
    judged = replace(data.train, labels=judge(train, _labels(data.train), thresholds))
    return (
        TrainingObjective(judged, LabelLoss(data.task), data.pad_id),
        replace(data.dev, labels=judge(dev, _labels(data.dev), thresholds)),
    )


def _labels(split: TokenizedSplit) -> IntArray:
    assert split.labels is not None
    return split.labels.astype(np.int64)


def _mean_loss(network: nn.Module, split: TokenizedSplit, data: TaskData, context: RunContext) -> float:
    logits = predict_logits(network, split, pad_id=data.pad_id, device=context.device)
    return float(functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(_labels(split))))


def _judging_head(head: nn.Linear, *, spread: float) -> nn.Linear:
    """In the place of another: drawn at random, to tell how the teacher does."""
    judging = nn.Linear(head.in_features, CLASSES).to(head.weight.device)
    nn.init.normal_(judging.weight, std=spread)
    nn.init.zeros_(judging.bias)
    return judging
