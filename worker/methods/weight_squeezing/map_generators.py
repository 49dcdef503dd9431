"""From initial maps to what trains: a generator for every mapped parameter."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.domain.methods import WeightSqueezingSpec
from worker.methods.weight_squeezing.initial_maps import InitialMaps, Maps, TableMap
from worker.methods.weight_squeezing.reparameterization import (
    Gate,
    GatedMatrix,
    GatedTable,
    SqueezedMatrix,
    SqueezedTable,
    multiply_adds,
)
from worker.networks.layer_views import LayerView
from worker.parameterization.parameterizations import MatrixGenerator, TableGenerator


class Generators:
    """Generators of every mapped parameter of a student, by its name."""

    def __init__(
        self,
        network: PreTrainedModel,
        maps: InitialMaps,
        spec: WeightSqueezingSpec,
        *,
        gate_rate: float = 1.0,
    ) -> None:
        """Make them.

        Args:
            network: whose parameters they are to make.
            maps: where they start.
            spec: the maps' rate, and the gate if there is one.
            gate_rate: learning rate of a gate over that of dense weights.
        """
        self._network = network
        self._gate = spec.gate
        self._rate = spec.map_rate_ratio
        self._gate_rate = gate_rate
        self._layers = maps.layers
        self._layer_gates: dict[LayerView, Gate] = {}
        self.matrices: dict[str, MatrixGenerator] = {
            name: self._matrix(name, start) for name, start in maps.matrices.items()
        }
        self.tables: dict[str, TableGenerator] = {
            name: self._table(name, start) for name, start in maps.tables.items()
        }
        self.multiply_adds = sum(
            multiply_adds(start.weight, start.rows, start.columns) for start in maps.matrices.values()
        )

    def _matrix(self, name: str, start: Maps) -> MatrixGenerator:
        squeezed = SqueezedMatrix(start.weight, _map(start.rows), _map(start.columns), rate=self._rate)
        if self._gate is None:
            return squeezed
        pretrained = self._network.get_parameter(name)
        return GatedMatrix(pretrained, squeezed, self._gate_of(pretrained, name))

    def _table(self, name: str, start: TableMap) -> TableGenerator:
        squeezed = SqueezedTable(start.table, _map(start.columns), rate=self._rate)
        if self._gate is None:
            return squeezed
        pretrained = self._network.get_parameter(name)
        # A gate a row or an element would outnumber the table's map by far.
        return GatedTable(pretrained, squeezed, self._new_gate((1, 1), pretrained))

    def _gate_of(self, pretrained: Tensor, name: str) -> Gate:
        assert self._gate is not None
        match self._gate.granularity:
            case "layer":
                layer = self._layers[name]
                if layer not in self._layer_gates:
                    self._layer_gates[layer] = self._new_gate((1, 1), pretrained)
                return self._layer_gates[layer]
            case "matrix":
                return self._new_gate((1, 1), pretrained)
            case "row":
                return self._new_gate((pretrained.shape[0], 1), pretrained)
            case "element":
                return self._new_gate((pretrained.shape[0], pretrained.shape[1]), pretrained)

    def _new_gate(self, shape: tuple[int, int], like: Tensor) -> Gate:
        assert self._gate is not None
        logit = nn.Parameter(torch.full(shape, self._gate.initial_logit, device=like.device))
        return Gate(logit, rate=self._gate_rate)


def _map(start: Tensor) -> nn.Parameter:
    """A map of its own: maps that start alike are trained apart."""
    return nn.Parameter(start.detach().clone().contiguous())
