"""The driver of distillation into a BiLSTM."""

from dataclasses import replace

import torch
from torch import nn

from app.domain.methods import BiLstmSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.methods.bilstm.stage_objectives import StageObjectives
from worker.methods.bilstm.stages import SubStage, plan_stages
from worker.networks.bilstm import BiLstm
from worker.numerics.least_squares import principal_directions
from worker.parameterization.parameterizations import DenseWeights
from worker.training.loop import Phase, total_steps
from worker.training.schedules import PhaseSchedule
from worker.training.selection import PhaseSelection
from worker.training.student import dense_phase, rates_of, train_student
from worker.transfer.initialisation import random_network

_LEARNING_RATE = 4e-3
_FEW_LABELS_RATE_RATIO = 0.1
"""Of the other stages' rate: where labels are few, at the whole rate they undo what was learnt."""
_PATIENCE = 5
"""Evaluations of the labels' stage without a better one. The other stages are not cut short: their loss falls
most when the rate has decayed."""


class BiLstmDistillation:
    def compress(self, teacher: Teacher, data: TaskData, spec: BiLstmSpec, context: RunContext) -> Student:
        network = random_network(teacher, data, context)
        assert isinstance(network, BiLstm)
        network.set_dropout(spec.dropout)
        if not teacher.is_untrained:
            start_words(network.word_embeddings, teacher)
        stage_objectives = StageObjectives(teacher, data, spec, context)
        steps = total_steps(stage_objectives.everything, context.training)
        if spec.training == "joint":
            training_objective = stage_objectives.joint()
            training = dense_phase(
                network,
                training_objective,
                context,
                schedule=PhaseSchedule(steps),
                default_rate=_LEARNING_RATE,
            )
            phases = [replace(training, training_objective=training_objective)]
        else:
            labelled_share = len(data.train) / len(stage_objectives.everything)
            stages = plan_stages(
                steps,
                labelled_share=labelled_share,
                gradual_unfreezing=spec.gradual_unfreezing,
                has_states=stage_objectives.has_states,
            )
            labels_ratio = _FEW_LABELS_RATE_RATIO ** (1 - labelled_share)
            phases = [
                stage_phase(stage, network, stage_objectives, context, labels_ratio=labels_ratio)
                for stage in stages
            ]
        return train_student(
            network,
            data,
            phases=phases,
            training_objective=stage_objectives.labels,
            context=context,
            default_rate=_LEARNING_RATE,
        )


@torch.no_grad()
def start_words(words: nn.Embedding, teacher: Teacher) -> None:
    """The teacher's word table on its principal directions, as spread out as the table was drawn.

    Where the student's table is wider than the teacher's, what is left stays as it was drawn.
    """
    table = teacher.network.get_input_embeddings().weight.detach().to(words.weight)  # (V, H)
    count = min(words.embedding_dim, table.shape[1])
    compressed = (table - table.mean(0)) @ principal_directions(table, count)  # (V, E)
    words.weight[:, :count] = compressed * (words.weight.std() / compressed.std())


def stage_phase(
    stage: SubStage,
    network: BiLstm,
    stage_objectives: StageObjectives,
    context: RunContext,
    *,
    labels_ratio: float,
) -> Phase:
    """One sub-stage: from the top of the network down to some depth, all that is below being frozen.

    Args:
        stage: what is taught, and how far down.
        network: trained.
        stage_objectives: what each stage learns.
        context: the rates and steps.
        labels_ratio: of the labels' stage's learning rate to the others'.
    """
    rates = rates_of(context, default=_LEARNING_RATE)
    by_labels = stage.stage == "labels"
    if by_labels:
        rates = replace(rates, learning_rate=labels_ratio * rates.learning_rate)
    parts = [network.classifier, network.projection, network.lstm, network.word_embeddings][: stage.depth]
    training_objective = stage_objectives.of(stage.stage)
    return Phase(
        stage.name,
        lambda: DenseWeights(network, rates, words=training_objective.words, parts=parts),
        PhaseSchedule(stage.steps),
        PhaseSelection(stage_objectives.measure_of(stage.stage), patience=_PATIENCE if by_labels else None),
        training_objective=training_objective,
    )
