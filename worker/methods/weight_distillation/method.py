"""The driver of Weight Distillation."""

import torch
from torch import nn
from transformers import PreTrainedModel

from app.domain.architectures import EncoderArchitecture, EncoderDecoderArchitecture
from app.domain.methods import WeightDistillationSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.methods.weight_distillation.grouping import (
    SelectingMaps,
    StackPair,
    random_generator,
    random_table,
)
from worker.networks.anatomy import ANATOMIES, MARIAN
from worker.parameterization.parameterizations import DenseWeights, GeneratedWeights, MatrixGenerator
from worker.training.loop import Phase, total_steps
from worker.training.student import rates_of, train_student
from worker.transfer.initialisation import calibration_batches, random_network, residual_selector
from worker.transfer.selection import select, select_stacks
from worker.transfer.subcloning import subclone, subclone_stacks

_SECOND_WARMUP = 0.25
"""Share of the first phase's warm-up: 1,000 updates to 4,000 in the paper."""


class WeightDistillation:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightDistillationSpec, context: RunContext
    ) -> Student:
        teacher.network.to(context.device)
        network = random_network(teacher, data, context)
        pairs = copy_selected(teacher, network, data, context)
        projection = None
        if spec.initial_generator == "select":
            matrices = selecting_generators(teacher, network, pairs)
            if isinstance(teacher.architecture, EncoderArchitecture):
                projection = residual_selector(teacher.architecture, pairs[0].selection)
        else:
            matrices = random_generators(teacher, network, pairs, context)
        training_objective = distillation_objective(
            spec.distillation, teacher, data, context, projection=projection
        )
        rates = rates_of(context)
        steps = total_steps(training_objective.split, context.training)
        generator_steps = round(steps * spec.generator_ratio)

        def generated() -> GeneratedWeights:
            return GeneratedWeights(network, matrices=matrices, tables={}, rates=rates)

        phases = [Phase("generator", generator_steps, generated)] if generator_steps else []
        if generator_steps < steps:
            phases.append(
                Phase(
                    "weights",
                    steps - generator_steps,
                    lambda: DenseWeights(network, rates, words=training_objective.words),
                    warmup_share=_SECOND_WARMUP,
                )
            )
        return train_student(
            network, data, phases=phases, training_objective=training_objective, context=context
        )


def copy_selected(
    teacher: Teacher, network: PreTrainedModel, data: TaskData, context: RunContext
) -> list[StackPair]:
    """Write the selected part of the teacher into the student; returns its stacks, the encoder's first."""
    batches = calibration_batches(data, device=context.device)
    match teacher.architecture, context.architecture:
        case EncoderArchitecture() as architecture, EncoderArchitecture(shape=shape):
            selection = select(
                teacher.network, batches, architecture=architecture, student=shape, layer_map="uniform"
            )
            subclone(teacher.network, network, architecture, shape, selection)
            return [StackPair(ANATOMIES[architecture.family], architecture.shape, shape, selection)]
        case EncoderDecoderArchitecture() as architecture, EncoderDecoderArchitecture(shape=shape):
            chosen = select_stacks(
                teacher.network, batches, architecture=architecture, student=shape, layer_map="uniform"
            )
            subclone_stacks(teacher.network, network, architecture, shape, chosen)
            return [
                StackPair(MARIAN.encoder, architecture.shape.encoder, shape.encoder, chosen.encoder),
                StackPair(MARIAN.decoder, architecture.shape.decoder, shape.decoder, chosen.decoder),
            ]
        case _:
            raise ValueError(f"{context.architecture} is no smaller {teacher.architecture.family}")


def selecting_generators(
    teacher: Teacher, network: nn.Module, pairs: list[StackPair]
) -> dict[str, MatrixGenerator]:
    """Generators of the layers' matrices that begin at what the network holds: the sub-cloned teacher.

    Biases, norms and tables, copied already, are trained as they are.
    """
    found: dict[str, MatrixGenerator] = {}
    read: nn.Parameter | None = None
    for pair in pairs:
        maps = SelectingMaps(pair, read=read)
        read = maps.residual
        for layer, role, module in pair.parts(pair.matrices):
            name = f"{module}.weight"
            start = network.get_parameter(name).detach()
            found[name] = maps.generator(teacher.network, layer, role, start)
    return found


def random_generators(
    teacher: Teacher, network: nn.Module, pairs: list[StackPair], context: RunContext
) -> dict[str, MatrixGenerator]:
    """Generators of all matrices, biases, norms and tables, as in the paper's code; the head stays copied."""
    torch.manual_seed(context.training.seed)
    found: dict[str, MatrixGenerator] = {}

    def add(pair: StackPair, layer: int, part: str) -> None:
        role, parameter = part.split(".")
        name = f"{pair.stack.part_name(layer, role)}.{parameter}"
        shape = network.get_parameter(name).shape
        group = pair.group(teacher.network, layer, part)
        found[name] = random_generator(group, shape, mixes=not pair.is_kept)

    for pair in pairs:
        for layer, role, _ in pair.parts([*pair.matrices, *pair.norms]):
            add(pair, layer, f"{role}.weight")
            add(pair, layer, f"{role}.bias")
    for ours, theirs in word_tables(teacher, context).items():
        table = teacher.network.get_parameter(f"{theirs}.weight").detach()
        found[f"{ours}.weight"] = random_table(table, network.get_parameter(f"{ours}.weight").shape[1])
    return found


def word_tables(teacher: Teacher, context: RunContext) -> dict[str, str]:
    """The student's tables and the teacher's that they are made of, by module name."""
    match teacher.architecture, context.architecture:
        case EncoderDecoderArchitecture(shape=theirs), EncoderDecoderArchitecture(shape=ours):
            return {
                name: MARIAN.word_table(theirs, stack) for name, stack in MARIAN.word_tables(ours).items()
            }
        case EncoderArchitecture() as architecture, _:
            return {name: name for name in ANATOMIES[architecture.family].embeddings}
        case _:
            raise ValueError(f"{teacher.architecture.family} has no word tables")
