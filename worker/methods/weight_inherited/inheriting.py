"""A network that narrows as it trains: every step it is written anew from the teacher and its compactors.

What is trained keeps the teacher's size. The network that runs has the indices that are still there and no
others: it begins as the teacher, loses a portion of its indices where an interval begins and ends as the
plain student, so that a step costs less and less and nothing is left to merge.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.tasks import Head
from worker.data.batches import Batch
from worker.methods.weight_inherited.compactors import CompactedLinear, selected
from worker.methods.weight_inherited.indices import Schedule
from worker.methods.weight_inherited.reconstruction import reconstruct
from worker.methods.weight_inherited.wiring import RESIDUAL, Wiring, neurons_of
from worker.networks.anatomy import embedding, linear, norm
from worker.networks.loading import build_network
from worker.numerics.precision import product
from worker.transfer.activations import Inputs


@dataclass(frozen=True)
class CompactionRates:
    """Learning rates of what trains."""

    compactors: float
    """How fast a compactor moves the merged weights; each is divided by its mean absolute column sum."""
    matrices: float
    """Of the teacher's matrices; 0: they stay."""
    vectors: float
    """Of biases and of norms' gains and shifts."""


class InheritedWeights:
    """Trains compactors and what they inherit; the word table itself stays as it is."""

    def __init__(
        self,
        network: PreTrainedModel,
        teacher: PreTrainedModel,
        architecture: EncoderArchitecture,
        head: Head,
        *,
        target: EncoderShape,
        whole_heads: bool,
        schedule: Schedule,
        rates: CompactionRates,
        batches: Sequence[Inputs],
        on_fit: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """Begin at the teacher.

        Args:
            network: becomes the teacher, then smaller and smaller, and at the end the student.
            teacher: copied.
            architecture: its layout.
            head: what lies on both.
            target: the student's dimensions; it is as deep as the teacher.
            whole_heads: whether attention loses whole heads, else dimensions of every head alike.
            schedule: when what goes.
            rates: of what trains.
            batches: text on which what stays is fitted to make up for what goes.
            on_fit: told of each part that is about to be fitted; may raise to stop.
        """
        self.network = network
        self._teacher, self._card, self._head = teacher, architecture, head
        self._whole_heads, self._schedule, self._rates = whole_heads, schedule, rates
        self._batches, self._on_fit = batches, on_fit
        self._device = next(teacher.parameters()).device
        self.wiring = Wiring(teacher, architecture)
        self.index_groups = {
            name: group.to(self._device)
            for name, group in self.wiring.groups(target, whole_heads=whole_heads).items()
        }
        self.words = nn.Parameter(torch.eye(architecture.shape.hidden, device=self._device))
        """The compactor of all embeddings, (D, D)."""
        self.linears = {
            name: CompactedLinear(linear(teacher, name), has_rows=ends.rows is not None)
            for name, ends in self.wiring.linears.items()
        }
        self.vectors = {
            f"{name}.{kind}": _copied(getattr(norm(teacher, name), kind))
            for name in self.wiring.norms
            for kind in ("weight", "bias")
        }
        """Gains and shifts of all norms, and what else of a head is no matrix of its own."""
        self._own = set()
        if self.wiring.is_tied:
            name = f"{self.wiring.head.output}.bias"
            self.vectors[name] = _copied(teacher.get_parameter(name))
            self._own.add(name)
        self._clock = torch.zeros(2, dtype=torch.int64)
        """Steps taken, and the interval whose portion has been given up."""
        self._indices: dict[str, Tensor] = {}
        self._listed: int | None = None
        """The interval whose indices these are; a checkpoint may be of another."""
        self._made: dict[str, Tensor] = {}

    def groups(self) -> list[dict[str, Any]]:
        rates = self._rates
        words = embedding(self._teacher, self.wiring.anatomy.embeddings[0]).weight.detach()
        column_sums = [(self.words, float(words.abs().sum(1).mean()))]
        for layer in self.linears.values():
            column_sums += layer.mean_abs_column_sums()
            layer.weight.requires_grad_(rates.matrices > 0)
        matrices = [layer.weight for layer in self.linears.values() if rates.matrices > 0]
        vectors = [*(layer.bias for layer in self.linears.values()), *self.vectors.values()]
        return [
            *(
                {"params": [compactor], "lr": rates.compactors / column_sum, "weight_decay": 0.0}
                for compactor, column_sum in column_sums
            ),
            {"params": matrices, "lr": rates.matrices, "weight_decay": 0.0},
            {"params": vectors, "lr": rates.vectors, "weight_decay": 0.0},
        ]

    def materialise(self, batches: Sequence[Batch]) -> None:
        self._narrow()
        self._write()
        rows = torch.unique(torch.cat([batch.inputs["input_ids"].flatten() for batch in batches]))
        self._write_tables(None if self.wiring.is_tied else rows)

    def pull_back(self) -> None:
        self._score()
        outputs, gradients = [], []
        for name, made in self._made.items():
            gradient = self.network.get_parameter(name).grad
            if gradient is not None:
                outputs.append(made)
                gradients.append(gradient)
        columns = self._words_columns()
        for name in self.wiring.anatomy.embeddings:
            gradient = embedding(self.network, name).weight.grad
            if gradient is None:
                continue
            table = embedding(self._teacher, name).weight.detach()
            if gradient.is_sparse:
                gradient = gradient.coalesce()
                table, gradient = table[gradient.indices()[0]], gradient.values()
            outputs.append(product(table, columns))
            gradients.append(gradient)
        torch.autograd.backward(outputs, gradients)
        self._made.clear()
        self.network.zero_grad(set_to_none=True)
        self._clock[0] += 1

    def fold(self) -> None:
        self._narrow()
        self._write_all()

    def release(self) -> None:
        assert self._schedule.interval(int(self._clock[0])) == self._schedule.portions
        self.fold()
        for name in self.wiring.anatomy.embeddings:
            embedding(self.network, name).sparse = False

    def tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {"clock": self._clock, "words": self.words}
        for name, group in self.index_groups.items():
            tensors |= {f"indices.{name}.{key}": value for key, value in group.tensors().items()}
        for name, layer in self.linears.items():
            tensors |= {f"linears.{name}.{key}": value for key, value in layer.named_parameters()}
        return tensors | {f"vectors.{name}": value for name, value in self.vectors.items()}

    def _narrow(self) -> None:
        """Bring index sets and network to where the clock is."""
        step, known = self._clock.tolist()
        if known != self._listed:
            self._shape_network()
        interval = self._schedule.interval(step)
        if interval == known:
            return
        self._write_all()
        before = self._indices
        for group in self.index_groups.values():
            group.give_up(self._schedule.share(interval))
        kept = {name: group.indices() for name, group in self.index_groups.items()}
        reconstruct(
            self.network,
            self.wiring,
            self.linears,
            self.vectors,
            self._batches,
            before=before,
            kept=kept,
            on_fit=self._on_fit,
        )
        self._clock[1] = interval
        self._shape_network()

    def _shape_network(self) -> None:
        """Make the network one of the indices that are there; a new one is yet to be written."""
        self._indices = {name: group.indices() for name, group in self.index_groups.items()}
        self._listed = int(self._clock[1])
        shape = self._shape()
        width = self.network.get_parameter(f"{self.wiring.norms[0]}.weight").shape[0]
        ffn = self.wiring.anatomy.linear(self.network, 0, "ffn_in").out_features
        if (width, ffn) != (shape.hidden, shape.ffn):
            self._rebuild(shape)

    def _shape(self) -> EncoderShape:
        """Of what is still there."""
        s = self._card.shape
        hidden = len(self._indices[RESIDUAL])
        heads = hidden // s.head_dim if self._whole_heads else s.heads
        return EncoderShape(
            layers=s.layers, hidden=hidden, heads=heads, ffn=len(self._indices[neurons_of(0)])
        )

    def _rebuild(self, shape: EncoderShape) -> None:
        with torch.random.fork_rng():  # draws weights that nobody will see
            made = build_network(self.network.config, self._card.at(shape), self._head).to(self._device)
        for name, module in made.named_modules():  # the config's own dropout is the teacher's
            if isinstance(module, nn.Dropout):
                module.p = self.network.get_submodule(name).p
        # With a sparse gradient a step touches the batch's rows alone, never the whole vocabulary.
        for name in self.wiring.anatomy.embeddings:
            embedding(made, name).sparse = not self.wiring.is_tied
        replace_modules(self.network, made)

    def _generate(self) -> dict[str, Tensor]:
        """Every parameter of the network but the embeddings."""
        made: dict[str, Tensor] = {}
        # The network divides scores by the root of the head width that is there, the teacher by its own.
        temperature = math.sqrt(self._shape().head_dim / self._card.shape.head_dim)
        for name, ends in self.wiring.linears.items():
            rows = None if ends.rows is None else self._indices[ends.rows]
            weight, bias = self.linears[name](rows, self._indices[ends.columns])
            scale = temperature if self.wiring.is_query(name) else 1.0
            made[f"{name}.weight"], made[f"{name}.bias"] = scale * weight, scale * bias
        for name, vector in self.vectors.items():
            made[name] = vector if name in self._own else selected(vector, self._indices[RESIDUAL])
        return made

    def _write(self) -> None:
        self._made = self._generate()
        with torch.no_grad():
            for name, value in self._made.items():
                self.network.get_parameter(name).copy_(value)

    @torch.no_grad()
    def _write_all(self) -> None:
        """Write the whole network, not to be trained on."""
        self._write()
        self._made.clear()
        self._write_tables(None)

    @torch.no_grad()
    def _write_tables(self, words: Tensor | None) -> None:
        """Write the embeddings: of words those asked for, or all."""
        columns = self._words_columns()
        for index, name in enumerate(self.wiring.anatomy.embeddings):
            table, written = (embedding(of, name).weight for of in (self._teacher, self.network))
            if index == 0 and words is not None:
                written[words] = table[words] @ columns
            else:
                written.copy_(table @ columns)

    def _words_columns(self) -> Tensor:
        return selected(self.words.T, self._indices[RESIDUAL]).T  # (D, d)

    @torch.no_grad()
    def _score(self) -> None:
        """Tell each group what scaling its indices would do to the loss."""
        if self._clock[1] == self._schedule.portions:
            return

        def effects(name: str) -> Tensor:
            parameter = self.network.get_parameter(name)
            assert parameter.grad is not None
            effect: Tensor = parameter * parameter.grad
            return effect

        for name, group in self.index_groups.items():
            if name == RESIDUAL:
                # Whoever uses a dimension, be it the sum before the next norm, has it from a norm.
                norms = [f"{norm}.{kind}" for norm in self.wiring.norms for kind in ("weight", "bias")]
                found = torch.stack([effects(vector) for vector in norms]).sum(0)
            else:
                found = effects(f"{self.wiring.reader_of(name)}.weight").sum(0)
            group.add_scores(self._indices[name], found)


def replace_modules(network: nn.Module, other: PreTrainedModel) -> None:
    """Make a network another one of its class, so that whoever holds it holds the other."""
    other.train(network.training)
    for name, child in other.named_children():
        setattr(network, name, child)
    network.config = other.config


def _copied(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone())
