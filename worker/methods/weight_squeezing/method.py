"""The driver of Weight Squeezing, plain and gated."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.core.specs import WeightSqueezingSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.methods.weight_squeezing.initial_maps import (
    InitialMaps,
    Maps,
    random_maps,
    selecting_maps,
    singular_maps,
)
from worker.methods.weight_squeezing.reconstruction import reconstructing_maps
from worker.methods.weight_squeezing.reparameterization import (
    Gate,
    GatedMatrix,
    GatedTable,
    SqueezedMatrix,
    SqueezedTable,
    multiply_adds,
)
from worker.modeling.anatomy import ANATOMIES, embedding
from worker.modeling.selection import Selection, select
from worker.modeling.subcloning import subclone
from worker.training.initialisation import calibration_batches, random_network
from worker.training.lesson import lesson_of
from worker.training.loop import Phase, total_steps
from worker.training.student import rates_of, train_student
from worker.training.weights import DenseWeights, GeneratedWeights, MatrixGenerator, TableGenerator


class WeightSqueezing:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightSqueezingSpec, context: RunContext
    ) -> Student:
        teacher.network.to(context.device)
        network = self._starting_network(teacher, data, spec, context)
        selection = select(
            teacher.network,
            calibration_batches(data, device=context.device),
            card=teacher.card,
            student=context.shape,
            layer_map=spec.layer_map,
        )
        maps = initial_maps(teacher, network, data, selection, spec, context)
        generators = Generators(teacher, network, maps, spec)
        lesson = lesson_of(spec.distillation, teacher, data, context, projection=maps.embeddings.contiguous())
        rates = rates_of(context)
        steps = total_steps(lesson.split, context.training)
        dense_steps = round(steps * spec.dense_ratio)

        def squeezed() -> GeneratedWeights:
            return GeneratedWeights(
                network,
                matrices=generators.matrices,
                tables=generators.tables,
                rates=rates,
            )

        phases = [Phase("squeezing", steps - dense_steps, squeezed)]
        if dense_steps:
            phases.append(Phase("dense", dense_steps, lambda: DenseWeights(network, rates)))
        student = train_student(network, data, phases=phases, lesson=lesson, context=context)
        mapping = {"mapping_multiply_adds": generators.multiply_adds}
        return Student(network=student.network, metrics={**student.metrics, **mapping})

    def _starting_network(
        self, teacher: Teacher, data: TaskData, spec: WeightSqueezingSpec, context: RunContext
    ) -> PreTrainedModel:
        """The registered small model where a gate mixes with one, else a network to be filled."""
        if spec.gate is not None:
            return context.load_model(spec.gate.small_model).to(context.device)
        return random_network(teacher, data, context)


def initial_maps(
    teacher: Teacher,
    network: PreTrainedModel,
    data: TaskData,
    selection: Selection,
    spec: WeightSqueezingSpec,
    context: RunContext,
) -> InitialMaps:
    """The maps to start from; without a gate the network's other parameters are started as well."""
    # What is not mapped (biases, norms, the head) a gated student has from its small model.
    target = network if spec.gate is None else random_network(teacher, data, context)
    if spec.initial_map == "pca":
        batches = calibration_batches(data, device=context.device)

        def on_layer(layer: int) -> None:
            context.check_cancelled()
            context.report("initial_maps", layer, context.shape.layers)

        return reconstructing_maps(
            teacher.network, target, teacher.card, selection, batches, on_layer=on_layer
        )
    subclone(teacher.network, target, teacher.card, context.shape, selection)
    make = {"select": selecting_maps, "svd": singular_maps, "gauss": random_maps}[spec.initial_map]
    return make(teacher.network, teacher.card, context.shape, selection)


class Generators:
    """Generators of every mapped parameter of a student, by its name."""

    def __init__(
        self, teacher: Teacher, network: PreTrainedModel, maps: InitialMaps, spec: WeightSqueezingSpec
    ) -> None:
        anatomy = ANATOMIES[teacher.card.architecture]
        self._network = network
        self._gate = spec.gate
        self._rate = spec.map_rate_ratio
        self._layer_gates: dict[int, Gate] = {}
        self.matrices: dict[str, MatrixGenerator] = {}
        self.tables: dict[str, TableGenerator] = {}
        self.multiply_adds = 0
        for (layer, role), start in maps.matrices.items():
            name = f"{anatomy.part_name(layer, role)}.weight"
            self.matrices[name] = self._matrix(name, start, layer)
            self.multiply_adds += multiply_adds(start.weight, start.rows, start.columns)
        for name in anatomy.embeddings:
            table = embedding(teacher.network, name).weight
            self.tables[f"{name}.weight"] = self._table(f"{name}.weight", table, maps.embeddings)

    def _matrix(self, name: str, start: Maps, layer: int) -> MatrixGenerator:
        squeezed = SqueezedMatrix(start.weight, _map(start.rows), _map(start.columns), rate=self._rate)
        if self._gate is None:
            return squeezed
        pretrained = self._network.get_parameter(name)
        return GatedMatrix(pretrained, squeezed, self._gate_of(pretrained, layer))

    def _table(self, name: str, table: Tensor, columns: Tensor) -> TableGenerator:
        squeezed = SqueezedTable(table, _map(columns), rate=self._rate)
        if self._gate is None:
            return squeezed
        pretrained = self._network.get_parameter(name)
        # A gate a row or an element would outnumber the table's map by far.
        return GatedTable(pretrained, squeezed, Gate(self._logit((1, 1), pretrained)))

    def _gate_of(self, pretrained: Tensor, layer: int) -> Gate:
        assert self._gate is not None
        match self._gate.granularity:
            case "layer":
                if layer not in self._layer_gates:
                    self._layer_gates[layer] = Gate(self._logit((1, 1), pretrained))
                return self._layer_gates[layer]
            case "matrix":
                return Gate(self._logit((1, 1), pretrained))
            case "row":
                return Gate(self._logit((pretrained.shape[0], 1), pretrained))
            case "element":
                return Gate(self._logit((pretrained.shape[0], pretrained.shape[1]), pretrained))

    def _logit(self, shape: tuple[int, int], like: Tensor) -> nn.Parameter:
        assert self._gate is not None
        return nn.Parameter(torch.full(shape, self._gate.initial_logit, device=like.device))


def _map(start: Tensor) -> nn.Parameter:
    """A map of its own: maps that start alike are trained apart."""
    return nn.Parameter(start.detach().clone().contiguous())
