"""A network that narrows as it trains: every step it is written anew from the teacher and its compactors.

What is trained keeps the teacher's size. The network that runs has the indices that are still there and no
others: it begins as the teacher, loses a portion of its indices at the end of every interval and ends as the
plain student, so that a step costs less and less and nothing is left to merge.

Shapes: D the teacher's width, F its ffn, V words; d, f those that are still there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.core.shapes import EncoderCard, Shape
from app.core.tasks import Head
from worker.data import Batch
from worker.methods.weight_inherited.compactors import CompactedLinear, FadingNorm, Presence
from worker.methods.weight_inherited.indices import IndexGroup, Schedule
from worker.modeling.anatomy import ANATOMIES, embedding, linear, norm
from worker.modeling.loading import build_network
from worker.training.precision import product
from worker.training.weights import Rates

RESIDUAL, FEATURES = "residual", "features"


@dataclass(frozen=True)
class CompactionRates:
    """Of what trains."""

    compactors: float
    """How fast a compactor moves the merged weights; each is divided by its reach."""
    matrices: float
    """Of the teacher's matrices."""
    vectors: float
    """Of biases and of norms' gains and shifts."""


class InheritedWeights:
    """Trains compactors and, more slowly, what they inherit."""

    def __init__(
        self,
        network: PreTrainedModel,
        teacher: PreTrainedModel,
        card: EncoderCard,
        head: Head,
        *,
        target: Shape,
        whole_heads: bool,
        schedule: Schedule,
        rates: CompactionRates,
    ) -> None:
        """Begin at the teacher.

        Args:
            network: becomes the teacher, then smaller and smaller, and at the end the student.
            teacher: copied.
            card: its layout.
            head: what lies on both.
            target: the student's dimensions; it is as deep as the teacher.
            whole_heads: whether attention loses whole heads, else dimensions of every head alike.
            schedule: when what goes.
            rates: of what trains.
        """
        self._network, self._teacher, self._card, self._head = network, teacher, card, head
        self._anatomy = ANATOMIES[card.architecture]
        self._schedule, self._rates, self._whole_heads = schedule, rates, whole_heads
        self._device = next(teacher.parameters()).device
        self._parts = self._anatomy.head_of(teacher)
        self.index_groups = self._make_groups(target)
        self.ends = self._make_ends()
        self.layers = nn.ModuleDict(
            {
                _key(name): CompactedLinear(linear(teacher, name), rows=rows is not None)
                for name, (rows, _) in self.ends.items()
            }
        ).to(self._device)
        self.words = nn.Parameter(torch.eye(card.shape.hidden, device=self._device))
        self.vectors = nn.ParameterDict(
            {
                _key(f"{name}.{kind}"): nn.Parameter(getattr(norm(teacher, name), kind).detach().clone())
                for name in self._norms()
                for kind in ("weight", "bias")
            }
        )
        self._output_bias = (
            nn.Parameter(linear(teacher, self._parts.output).bias.detach().clone()) if self.is_tied else None
        )
        self._clock = torch.zeros(2, dtype=torch.int64)
        self._made: dict[str, Tensor] = {}

    @property
    def is_tied(self) -> bool:
        """Whether the output's matrix is the word table."""
        return self._parts.norm is not None

    def groups(self) -> list[dict[str, Any]]:
        rates = self._rates
        compactors = [pair for layer in self._layers().values() for pair in layer.reaches()]
        tables = [embedding(self._teacher, name).weight for name in self._anatomy.embeddings[:1]]
        compactors.append((self.words, float(tables[0].detach().abs().sum(1).mean())))
        matrices = [layer.weight for layer in self._layers().values()]
        vectors = [layer.bias for layer in self._layers().values()] + list(self.vectors.values())
        if self._output_bias is not None:
            vectors.append(self._output_bias)
        groups = [
            {"params": [compactor], "lr": rates.compactors / reach, "weight_decay": 0.0}
            for compactor, reach in compactors
        ]
        groups.append({"params": vectors, "lr": rates.vectors, "weight_decay": 0.0})
        if rates.matrices:
            groups.append({"params": matrices, "lr": rates.matrices, "weight_decay": 0.0})
        else:
            for matrix in matrices:
                matrix.requires_grad_(False)
        return groups

    def materialise(self, batches: Sequence[Batch]) -> None:
        self._narrow()
        self._write(self._generate())
        rows = torch.unique(torch.cat([batch.inputs["input_ids"].flatten() for batch in batches]))
        self._write_tables(None if self.is_tied else rows)

    def pull_back(self) -> None:
        self._score()
        outputs, gradients = [], []
        for name, made in self._made.items():
            gradient = self._network.get_parameter(name).grad
            if made.requires_grad and gradient is not None:
                outputs.append(made)
                gradients.append(gradient)
        columns = self._presence()[RESIDUAL].rows_of(self.words.T).T
        for name in self._anatomy.embeddings:
            gradient = embedding(self._network, name).weight.grad
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
        self._network.zero_grad(set_to_none=True)
        self._clock[0] += 1

    @torch.no_grad()
    def fold(self) -> None:
        self._narrow()
        self._write(self._generate())
        self._made.clear()
        self._write_tables(None)

    def release(self) -> None:
        self._clock[0] = max(int(self._clock[0]), self._schedule.steps)
        self.fold()
        for module in self._network.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = False

    def tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {"clock": self._clock, "words": self.words}
        for name, group in self.index_groups.items():
            tensors |= {f"groups.{name}.{key}": value for key, value in group.tensors().items()}
        tensors |= {f"layers.{name}": value for name, value in self.layers.named_parameters()}
        tensors |= {f"vectors.{name}": value for name, value in self.vectors.items()}
        if self._output_bias is not None:
            tensors["output_bias"] = self._output_bias
        return tensors

    def _make_groups(self, target: Shape) -> dict[str, IndexGroup]:
        s = self._card.shape
        unit = s.head_dim if self._whole_heads else s.heads
        groups = {RESIDUAL: IndexGroup(s.hidden, target.hidden, unit=unit)}
        for layer in range(s.layers):
            groups[_heads(layer)] = IndexGroup(
                s.hidden, target.hidden, unit=unit, blocks=s.heads, whole=self._whole_heads
            )
            groups[_neurons(layer)] = IndexGroup(s.ffn, target.ffn)
        if self._parts.dense is not None and not self.is_tied:
            groups[FEATURES] = IndexGroup(s.hidden, target.hidden, unit=unit)
        return {name: group.to(self._device) for name, group in groups.items()}

    def _make_ends(self) -> dict[str, tuple[str | None, str]]:
        """Every linear layer with the groups that its rows and its columns lose."""
        ends: dict[str, tuple[str | None, str]] = {}
        for layer in range(self._card.shape.layers):
            heads, neurons = _heads(layer), _neurons(layer)
            for role, sides in {
                "query": (heads, RESIDUAL),
                "key": (heads, RESIDUAL),
                "value": (heads, RESIDUAL),
                "attention_output": (RESIDUAL, heads),
                "ffn_in": (neurons, RESIDUAL),
                "ffn_out": (RESIDUAL, neurons),
            }.items():
                ends[self._anatomy.part_name(layer, role)] = sides
        features = FEATURES if FEATURES in self.index_groups else RESIDUAL
        if self._parts.dense is not None:
            ends[self._parts.dense] = (features, RESIDUAL)
        if not self.is_tied:
            ends[self._parts.output] = (None, features)
        return ends

    def _norms(self) -> list[str]:
        names = [self._anatomy.embedding_norm]
        for layer in range(self._card.shape.layers):
            names += [self._anatomy.part_name(layer, role) for role in ("attention_norm", "ffn_norm")]
        return names if self._parts.norm is None else [*names, self._parts.norm]

    def _layers(self) -> dict[str, CompactedLinear]:
        return {name: self.layers[_key(name)] for name in self.ends}  # type: ignore[misc]

    def _presence(self) -> dict[str, Presence]:
        level = self._schedule.level(int(self._clock[0]))
        return {name: group.presence(level) for name, group in self.index_groups.items()}

    def _narrow(self) -> None:
        """Bring index sets and network to where the clock is."""
        step, known = self._clock.tolist()
        interval = self._schedule.interval(step)
        if interval != known:
            for group in self.index_groups.values():
                group.give_up(self._schedule.share(interval))
                if interval == self._schedule.last:
                    group.conclude()
            self._clock[1] = interval
        shape, fades = self._shape(), any(group.fades for group in self.index_groups.values())
        if not self._fits(shape, fades=fades):
            self._rebuild(shape, fades=fades)

    def _shape(self) -> Shape:
        """Of what is still there."""
        s = self._card.shape
        hidden = int(self.index_groups[RESIDUAL].present.sum())
        return Shape(
            layers=s.layers,
            hidden=hidden,
            heads=hidden // s.head_dim if self._whole_heads else s.heads,
            ffn=int(self.index_groups[_neurons(0)].present.sum()),
        )

    def _fits(self, shape: Shape, *, fades: bool) -> bool:
        first = self._network.get_submodule(self._anatomy.embedding_norm)
        ffn = self._anatomy.linear(self._network, 0, "ffn_in").out_features
        width = self._network.get_parameter(f"{self._anatomy.embedding_norm}.weight").shape[0]
        return isinstance(first, FadingNorm) == fades and (width, ffn) == (shape.hidden, shape.ffn)

    def _rebuild(self, shape: Shape, *, fades: bool) -> None:
        """Make the network one of this shape; every weight of it is written afterwards."""
        with torch.random.fork_rng():  # draws weights that nobody will see
            made = build_network(self._network.config, self._card.at(shape), self._head).to(self._device)
        if fades:
            levels = self._presence()[RESIDUAL].levels
            for name in self._norms():
                made.set_submodule(name, FadingNorm(norm(made, name), levels))
        if not self.is_tied:
            # With a sparse gradient a step touches the batch's rows alone, never the whole vocabulary.
            for name in self._anatomy.embeddings:
                embedding(made, name).sparse = True
        become(self._network, made)

    def _generate(self) -> dict[str, Tensor]:
        """Every parameter of the network but the embeddings."""
        presence = self._presence()
        made: dict[str, Tensor] = {}
        for name, (rows, columns) in self.ends.items():
            layer = self._layers()[name]
            weight, bias = layer(None if rows is None else presence[rows], presence[columns])
            if name.endswith(self._anatomy.layer.query):
                # The network divides scores by the root of the head width that is there, the teacher by its own.
                scale = math.sqrt(self._shape().head_dim / self._card.shape.head_dim)
                weight, bias = scale * weight, scale * bias
            made[f"{name}.weight"], made[f"{name}.bias"] = weight, bias
        for name in self._norms():
            for kind in ("weight", "bias"):
                vector = self.vectors[_key(f"{name}.{kind}")]
                made[f"{name}.{kind}"] = presence[RESIDUAL].rows_of(vector)
        if self._output_bias is not None:
            made[f"{self._parts.output}.bias"] = self._output_bias
        return made

    @torch.no_grad()
    def _write(self, made: dict[str, Tensor]) -> None:
        self._made = made
        for name, value in made.items():
            self._network.get_parameter(name).copy_(value)
        for module in self._network.modules():
            if isinstance(module, FadingNorm):
                module.levels = self._presence()[RESIDUAL].levels

    @torch.no_grad()
    def _write_tables(self, words: Tensor | None) -> None:
        """Write the embeddings: of words those asked for, or all."""
        columns = self._presence()[RESIDUAL].rows_of(self.words.T).T
        for index, name in enumerate(self._anatomy.embeddings):
            table = embedding(self._teacher, name).weight
            written = embedding(self._network, name).weight
            if index == 0 and words is not None:
                written[words] = table[words] @ columns
            else:
                written.copy_(table @ columns)

    @torch.no_grad()
    def _score(self) -> None:
        """Tell each group what its indices do to the loss."""
        if self._clock[1] == self._schedule.last:
            return
        def effects(name: str) -> Tensor:
            parameter = self._network.get_parameter(name)
            assert parameter.grad is not None
            return parameter * parameter.grad

        residual = sum(effects(f"{name}.{kind}") for name in self._norms() for kind in ("weight", "bias"))
        assert isinstance(residual, Tensor)
        self.index_groups[RESIDUAL].add_scores(residual)
        readers = {
            group: [name for name, (_, columns) in self.ends.items() if columns == group]
            for group in self.index_groups
            if group != RESIDUAL
        }
        for group, [name] in readers.items():
            self.index_groups[group].add_scores(effects(f"{name}.weight").sum(0))


def become(network: nn.Module, other: PreTrainedModel) -> None:
    """Make a network another one of its class, so that whoever holds it holds the other."""
    other.train(network.training)
    for name, child in other.named_children():
        setattr(network, name, child)
    network.config = other.config


def _key(name: str) -> str:
    return name.replace(".", "/")


def _heads(layer: int) -> str:
    return f"heads {layer}"


def _neurons(layer: int) -> str:
    return f"neurons {layer}"
