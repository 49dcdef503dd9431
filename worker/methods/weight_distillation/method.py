"""The driver of Weight Distillation."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from app.domain.methods import WeightDistillationSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.methods.weight_distillation.grouping import (
    LayerGroups,
    SelectingMaps,
    random_generator,
    random_table,
)
from worker.networks.views import network_view
from worker.parameterization.parameterizations import GeneratedWeights, MatrixGenerator
from worker.training.loop import Phase, total_steps
from worker.training.schedules import PhaseSchedule
from worker.training.student import dense_phase, rates_of, train_student
from worker.transfer.initialisation import calibration_batches, random_network, residual_selector
from worker.transfer.selection import select
from worker.transfer.subcloning import subclone

_SECOND_WARMUP = 0.25
"""Share of the first phase's warm-up: 1,000 updates to 4,000 in the paper."""


class WeightDistillation:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightDistillationSpec, context: RunContext
    ) -> Student:
        teacher.network.to(context.device)
        network = random_network(teacher, data, context)
        stacks = copy_selected(teacher, network, data, context)
        projection = None
        if spec.initial_generator == "select":
            matrices = selecting_generators(stacks)
            projection = residual_selector(
                [groups.teacher for groups in stacks], [groups.selection for groups in stacks]
            )
        else:
            matrices = random_generators(stacks, context)
        training_objective = distillation_objective(
            spec.distillation, teacher, data, context, projection=projection
        )
        rates = rates_of(context)
        steps = total_steps(training_objective.split, context.training)
        generator_steps = round(steps * spec.generator_ratio)

        def generated() -> GeneratedWeights:
            return GeneratedWeights(network, matrices=matrices, tables={}, rates=rates)

        phases = []
        if generator_steps:
            phases.append(Phase("generator", generated, PhaseSchedule(generator_steps)))
        if generator_steps < steps:
            schedule = PhaseSchedule(steps - generator_steps, warmup_share=_SECOND_WARMUP)
            phases.append(
                dense_phase(network, training_objective, context, name="weights", schedule=schedule)
            )
        return train_student(
            network, data, phases=phases, training_objective=training_objective, context=context
        )


def copy_selected(
    teacher: Teacher, network: PreTrainedModel, data: TaskData, context: RunContext
) -> list[LayerGroups]:
    """Write the selected part of the teacher into the student; returns its stacks, the encoder's first."""
    batches = calibration_batches(data, device=context.device)
    ours = network_view(teacher.network, teacher.architecture)
    theirs = network_view(network, context.architecture)
    selections = select(ours, batches, student=theirs.shape, layer_map="uniform")
    subclone(ours, theirs, selections)
    return [LayerGroups(*group) for group in zip(ours.stacks, theirs.stacks, selections, strict=True)]


def selecting_generators(stacks: Sequence[LayerGroups]) -> dict[str, MatrixGenerator]:
    """Generators of the layers' matrices that begin at what the student holds: the sub-cloned teacher.

    Biases, norms and tables, copied already, are trained as they are.
    """
    found: dict[str, MatrixGenerator] = {}
    memory: nn.Parameter | None = None
    for groups in stacks:
        maps = SelectingMaps(groups, memory=memory)
        memory = maps.residual
        for layer, matrix, group in groups.matrices():
            found[matrix.weight_name] = maps.generator(layer, matrix, group)
    return found


def random_generators(stacks: Sequence[LayerGroups], context: RunContext) -> dict[str, MatrixGenerator]:
    """Generators of all matrices, biases, norms and tables, as in the paper's code; the head stays copied."""
    torch.manual_seed(context.training.seed)
    found: dict[str, MatrixGenerator] = {}
    for groups in stacks:
        for name, group in groups.parameters():
            shape = groups.student.network.get_parameter(name).shape
            found[name] = random_generator(group, shape, mixes=not groups.is_kept)
    tables = {  # one that stacks share is made once
        target.weight_name: (source, target)
        for groups in stacks
        for source, target in zip(groups.teacher.embeddings, groups.student.embeddings, strict=True)
    }
    for name, (source, target) in tables.items():
        found[name] = random_table(source.weight.detach(), target.weight.shape[1])
    return found
