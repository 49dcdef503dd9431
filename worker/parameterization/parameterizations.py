"""What an optimiser step trains: a network's own weights, or what generates them.

Generated weights go through the network as ordinary leaves. Once a step they are written into it, any number
of micro-batches leave their gradients on them, and once a step those gradients are pulled back through the
generator. So a map costs the same at every batch size, the forward pass is the plain student's, and folding
a trained map is doing nothing: the network already holds the folded weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from worker.contracts import IntArray
from worker.data.batches import Batch
from worker.parameterization.used_words import UsedWords


@dataclass(frozen=True)
class Rates:
    """Learning rate and weight decay of one kind of parameter."""

    learning_rate: float
    weight_decay: float


class Parameterization(Protocol):
    """The trainable side of a network, as the loop sees it."""

    def groups(self) -> list[dict[str, Any]]:
        """Optimiser parameter groups."""

    def materialise(self, batches: Sequence[Batch]) -> None:
        """Make the network ready for these batches."""

    def pull_back(self) -> None:
        """Move gradients from the network to what is trained."""

    def fold(self) -> None:
        """Make the network complete: every weight, not only those that the last batches used."""

    def release(self) -> None:
        """Fold, and give the network back as a plain one."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold, by name; loading writes into these in place."""


class DenseWeights:
    """Trains the network's own parameters."""

    def __init__(
        self,
        network: nn.Module,
        rates: Rates,
        *,
        own_rates: Mapping[nn.Parameter, Rates] | None = None,
        words: IntArray | None = None,
        parts: Sequence[nn.Module] | None = None,
    ) -> None:
        """Begin training a network.

        What its family fixes for good, as Marian its sines, is never trained.

        Args:
            network: whose parameters train.
            rates: of all of them.
            own_rates: of some of them, instead.
            words: that texts and padding hold; None: any. Rows of other words do not train: they have no
                gradient, and do not decay.
            parts: train alone, the others being frozen until ``release``; None: all.
        """
        self._network = network
        self._rates = rates
        self._own_rates = own_rates or {}
        chosen = set((network if parts is None else nn.ModuleList(parts)).parameters())
        own = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._trained = [parameter for parameter in own if parameter in chosen]
        self._frozen = [parameter for parameter in own if parameter not in chosen]
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        self._words = None
        table = _word_table(network)
        if words is not None and table is not None and table.weight in chosen:
            self._words = UsedWords(table, words)
            self._trained = [self._words.rows if p is table.weight else p for p in self._trained]

    def groups(self) -> list[dict[str, Any]]:
        alike: dict[Rates, list[nn.Parameter]] = {}
        for parameter in self._trained:
            alike.setdefault(self._own_rates.get(parameter, self._rates), []).append(parameter)
        return [group for rates, parameters in alike.items() for group in dense_groups(parameters, rates)]

    def materialise(self, batches: Sequence[Batch]) -> None:
        pass

    def pull_back(self) -> None:
        pass

    def fold(self) -> None:
        if self._words is not None:
            self._words.fold()

    def release(self) -> None:
        if self._words is not None:
            self._words.release()
        for parameter in self._frozen:
            parameter.requires_grad_()

    def tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = dict(self._network.state_dict(keep_vars=True))
        return tensors if self._words is None else {**tensors, "used_words": self._words.rows}


class Generator(nn.Module):
    """Makes a weight out of parameters of its own."""

    def rate_ratios(self) -> list[tuple[nn.Parameter, float]]:
        """Parameters that want a rate of their own, each with its share of the rest's; they do not decay."""
        return []


class MatrixGenerator(Generator):
    """Generates one weight of a network: ``forward()`` returns it."""


class TableGenerator(Generator):
    """Generates rows of an embedding table: ``forward(rows)`` returns (len(rows), D)."""


class GeneratedWeights:
    """Trains the generators of some of a network's parameters, and the rest of them densely."""

    def __init__(
        self,
        network: nn.Module,
        *,
        matrices: Mapping[str, MatrixGenerator],
        tables: Mapping[str, TableGenerator],
        rates: Rates,
    ) -> None:
        """Attach generators to a network.

        Args:
            network: the plain student; the named parameters become outputs.
            matrices: parameter name -> generator of the whole weight.
            tables: name of an embedding's weight -> generator of its rows.
            rates: of the parameters that are not generated; generators' own go by their ratios to it.
        """
        self._network = network
        # Under every name: a family may meet a tied table first where it is the output's.
        self._parameters = dict(network.named_parameters(remove_duplicate=False))
        self._matrices = dict(matrices)
        self._tables = dict(tables)
        self._generators = nn.ModuleList(self._all())
        self._rates = rates
        self._made: dict[str, Tensor] = {}
        # A table that is also the output's matrix is needed whole.
        self._whole = {name for name in self._tables if _uses(network, self._parameters[name]) > 1}
        for name in self._tables:
            # With a sparse gradient a step touches the batch's rows alone, never the whole vocabulary.
            self._embedding(name).sparse = name not in self._whole

    def groups(self) -> list[dict[str, Any]]:
        maps: dict[nn.Parameter, float] = {}
        for generator in self._all():
            for parameter, ratio in generator.rate_ratios():  # what many share goes by the most careful
                maps[parameter] = min(ratio, maps.get(parameter, math.inf))
        dense = [p for p in self._network.parameters() if not self._is_generated(p)]
        dense += [p for p in self._generators.parameters() if p not in maps]
        rate = self._rates.learning_rate
        own = [{"params": [p], "lr": ratio * rate, "weight_decay": 0.0} for p, ratio in maps.items()]
        return [*own, *dense_groups(dense, self._rates)]

    def materialise(self, batches: Sequence[Batch]) -> None:
        for name, matrix in self._matrices.items():
            weight = matrix()
            self._made[name] = weight
            self._parameters[name].data.copy_(weight.detach())
        rows = torch.unique(torch.cat([batch.inputs["input_ids"].flatten() for batch in batches]))
        with torch.no_grad():
            for index, (name, generator) in enumerate(self._tables.items()):
                table = self._parameters[name].data
                # Words come first; the tables after them (positions, token types) are small.
                is_partial = index == 0 and name not in self._whole
                used = rows if is_partial else torch.arange(len(table), device=table.device)
                table[used] = generator(used)

    def pull_back(self) -> None:
        outputs, gradients = [], []
        for name, weight in self._made.items():
            outputs.append(weight)
            gradients.append(self._parameters[name].grad)
        for name, generator in self._tables.items():
            gradient = self._parameters[name].grad
            if gradient is None:
                continue
            if name in self._whole:
                outputs.append(generator(torch.arange(len(gradient), device=gradient.device)))
                gradients.append(gradient)
            else:
                gradient = gradient.coalesce()
                outputs.append(generator(gradient.indices()[0]))
                gradients.append(gradient.values())
        torch.autograd.backward(outputs, gradients)
        self._made.clear()
        for name in (*self._matrices, *self._tables):
            self._parameters[name].grad = None

    @torch.no_grad()
    def fold(self) -> None:
        for name, matrix in self._matrices.items():
            self._parameters[name].data.copy_(matrix())
        for name, generator in self._tables.items():
            table = self._parameters[name].data
            table.copy_(generator(torch.arange(len(table), device=table.device)))

    def release(self) -> None:
        self.fold()
        for name in self._tables:
            self._embedding(name).sparse = False

    def tensors(self) -> dict[str, Tensor]:
        network = self._network.state_dict(keep_vars=True).items()
        generators = self._generators.named_parameters()
        return {f"network.{name}": value for name, value in network if not self._is_generated(value)} | {
            f"generators.{name}": value for name, value in generators
        }

    def _is_generated(self, parameter: Tensor) -> bool:
        return any(parameter is self._parameters[name] for name in (*self._matrices, *self._tables))

    def _all(self) -> list[Generator]:
        return [*self._matrices.values(), *self._tables.values()]

    def _embedding(self, weight_name: str) -> nn.Embedding:
        module = self._network.get_submodule(weight_name.removesuffix(".weight"))
        assert isinstance(module, nn.Embedding)
        return module


def _word_table(network: nn.Module) -> nn.Embedding | None:
    """The table in which words are looked up, if nothing else reads it."""
    table = network.get_input_embeddings() if isinstance(network, PreTrainedModel) else None
    if not isinstance(table, nn.Embedding) or _uses(network, table.weight) > 1:
        return None
    return table


def _uses(network: nn.Module, parameter: Tensor) -> int:
    """How many modules hold a parameter as their own."""
    return sum(own is parameter for module in network.modules() for own in module.parameters(recurse=False))


def dense_groups(parameters: Sequence[nn.Parameter], rates: Rates) -> list[dict[str, Any]]:
    """Two groups: matrices decay towards zero, vectors (biases, norms) do not."""
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": matrices, "lr": rates.learning_rate, "weight_decay": rates.weight_decay},
        {"params": vectors, "lr": rates.learning_rate, "weight_decay": 0.0},
    ]
