"""The driver of Weight Squeezing, plain and gated."""

import torch
from transformers import PreTrainedModel

from app.domain.methods import WeightSqueezingSpec
from app.domain.methods.weight_squeezing import SMALL_MODEL, Gate
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.methods.weight_squeezing.initial_maps import (
    InitialMaps,
    narrowed,
    random_maps,
    selecting_maps,
    selecting_tables,
    singular_maps,
)
from worker.methods.weight_squeezing.map_generators import Generators
from worker.methods.weight_squeezing.regression_maps import regression_maps, regression_stack_maps
from worker.methods.weight_squeezing.stack_pairs import stack_pairs
from worker.networks.views import EncoderView, encoder_view
from worker.parameterization.parameterizations import GeneratedWeights
from worker.training.loop import Phase, total_steps
from worker.training.schedules import PhaseSchedule
from worker.training.student import dense_phase, rates_of, train_student
from worker.transfer.initialisation import calibration_batches, completed, unfolded_network, unfolded_views
from worker.transfer.selection import select
from worker.transfer.subcloning import map_distances, subclone

_GATE_TRAVEL = 8.0
"""How far a gate's logit can go in a training: between open (4) and shut (-4)."""
_GATE_STEP = 0.5
"""The most of it in one step, however few there are."""


class WeightSqueezing:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightSqueezingSpec, context: RunContext
    ) -> Student:
        teacher.network.to(context.device)
        network = unfolded_network(teacher, data, context)
        if spec.gate is None:
            maps = initial_maps(teacher, network, data, spec, context)
            completed(network, context)
        else:
            small = context.load_model(SMALL_MODEL).to(context.device)
            maps = initial_maps(teacher, network, data, spec, context, like=small)
            network = _mixed(small, network, maps, spec.gate)
        if context.architecture.has_factorised_words:
            maps = narrowed(maps, encoder_view(network, context.architecture))
        training_objective = distillation_objective(
            spec.distillation, teacher, data, context, projection=maps.projection.contiguous()
        )
        rates = rates_of(context)
        steps = total_steps(training_objective.split, context.training)
        dense_steps = min(round(steps * spec.dense_ratio), steps - 1)  # at least one step squeezes
        rate = gate_rate(steps - dense_steps, rates.learning_rate)
        generators = Generators(network, maps, spec, gate_rate=rate)

        def squeezed() -> GeneratedWeights:
            return GeneratedWeights(
                network,
                matrices=generators.matrices,
                tables=generators.tables,
                rates=rates,
            )

        phases = [Phase("squeezing", squeezed, PhaseSchedule(steps - dense_steps))]
        if dense_steps:
            schedule = PhaseSchedule(dense_steps)
            phases.append(dense_phase(network, training_objective, context, name="dense", schedule=schedule))
        student = train_student(
            network, data, phases=phases, training_objective=training_objective, context=context
        )
        mapping = {"mapping_multiply_adds": generators.multiply_adds}
        return Student(network=student.network, metrics={**student.metrics, **mapping})


@torch.no_grad()
def _mixed(
    small: PreTrainedModel, squeezed: PreTrainedModel, maps: InitialMaps, gate: Gate
) -> PreTrainedModel:
    """The small model, with as much of the squeezed one in what has no gate: biases, norms and the head."""
    share = torch.tensor(gate.initial_logit).sigmoid().item()
    theirs = dict(squeezed.named_parameters())
    for name, parameter in small.named_parameters():
        is_gated = name in maps.matrices or name in maps.tables
        if not is_gated and name in theirs:
            parameter.lerp_(theirs[name], share)
    return small


def gate_rate(steps: int, learning_rate: float) -> float:
    """Of a gate over that of weights, never below it: Adam moves neither by more than its rate in a step.

    A logit moves by whole numbers where weights move by hundredths; at their rate it would stay where it is.
    The rates of a training, which decay linearly, add up to half of steps times the peak.
    """
    return max(1.0, min(_GATE_TRAVEL / (steps / 2), _GATE_STEP) / learning_rate)


def initial_maps(
    teacher: Teacher,
    network: PreTrainedModel,
    data: TaskData,
    spec: WeightSqueezingSpec,
    context: RunContext,
    *,
    like: PreTrainedModel | None = None,
) -> InitialMaps:
    """The maps to start from, near another network's stream if one is given; what is not mapped starts."""
    batches = calibration_batches(data, device=context.device)
    ours, theirs = unfolded_views(teacher, network, context)
    selections = select(ours, batches, student=theirs.shape, layer_map=spec.layer_map)
    pairs = stack_pairs(ours, theirs, selections)

    def on_layer(layer: int) -> None:
        context.check_cancelled()
        context.report("preparing", layer, sum(len(pair.student.layers) for pair in pairs))

    # Only an encoder's stream can be turned: sines hold a translation model's dimensions where they are.
    if spec.initial_map == "pca" and isinstance(ours, EncoderView) and isinstance(theirs, EncoderView):
        near = None if like is None else encoder_view(like, context.architecture.unfolded)
        return regression_maps(ours, theirs, pairs[0], batches, like=near, on_layer=on_layer)
    subclone(ours, theirs, selections)
    tables = selecting_tables(pairs)
    if spec.initial_map == "pca":
        return regression_stack_maps(pairs, tables, batches, on_layer=on_layer)
    make = {"select": selecting_maps, "svd": singular_maps, "gauss": random_maps}[spec.initial_map]
    maps = make(pairs, tables)
    if spec.initial_map != "select":
        for pair in pairs:  # they lie on the dimensions that the words come to
            map_distances(pair.teacher, pair.student, maps.projection.T)
    return maps
