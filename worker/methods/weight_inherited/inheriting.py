"""A network that narrows as it trains: every step it is written anew from the teacher and its compactors.

What is trained keeps the teacher's size. The network that runs has the indices that are still there and no
others: it begins as the teacher, loses a portion of its indices where an interval begins and ends as the
plain student, so that a step costs less and less and nothing is left to merge.
"""

import math
from collections.abc import Callable, Iterator, Sequence
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
from worker.methods.weight_inherited.wiring import RESIDUAL, GroupKey, Wiring
from worker.networks.loading import build_network
from worker.networks.parts import Axis, Part, Table
from worker.networks.views import encoder_view
from worker.numerics.precision import product
from worker.training.dropout import copy_dropout
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
        on_fit: Callable[[Part], None] = lambda _part: None,
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
            on_fit: called before each part is fitted; may raise to stop.
        """
        self.network = network
        self._architecture, self._head = architecture, head
        self._whole_heads, self._schedule, self._rates = whole_heads, schedule, rates
        self._batches, self._on_fit = batches, on_fit
        self._device = next(teacher.parameters()).device
        self.wiring = Wiring(encoder_view(teacher, architecture))
        self._view = encoder_view(network, architecture.at(target))
        """Of the network as it is now."""
        self.index_groups = {
            key: group.to(self._device)
            for key, group in self.wiring.groups(target, whole_heads=whole_heads).items()
        }
        self.words = nn.Parameter(torch.eye(architecture.shape.hidden, device=self._device))
        """The compactor of all embeddings, (D, D)."""
        self.linears = {
            matrix.name: CompactedLinear(matrix.linear, has_rows=ends.rows is not None)
            for matrix, ends in self.wiring.matrices.items()
        }
        self.vectors = {
            name: _copied(norm.layer.get_parameter(name.removeprefix(f"{norm.name}.")))
            for norm in self.wiring.norms
            for name in norm.vector_names
        }
        """Gains and shifts of all norms, and what else of a head is no matrix of its own."""
        self._vector_groups = {
            name: group for norm, group in self.wiring.norm_groups.items() for name in norm.vector_names
        }
        if self.wiring.is_tied:
            output = self.wiring.view.head.output
            self.vectors[output.bias_name] = _copied(output.linear.bias)
        self._clock = torch.zeros(2, dtype=torch.int64)
        """Steps taken, and the interval whose portion has been given up."""
        self._indices: dict[GroupKey, Tensor] = {}
        self._listed: int | None = None
        """The interval whose indices these are; a checkpoint may be of another."""
        self._made: dict[str, Tensor] = {}

    def groups(self) -> list[dict[str, Any]]:
        rates = self._rates
        words = self.wiring.view.embeddings.words.weight.detach()
        column_sums = [(self.words, float(words.abs().sum(1).mean()))]
        for layer in self.linears.values():
            column_sums += layer.mean_abs_column_sums()
            layer.weight.requires_grad_(rates.matrices > 0)
        matrices = [layer.weight for layer in self.linears.values() if rates.matrices > 0]
        biases = [layer.bias for layer in self.linears.values() if layer.bias is not None]
        vectors = [*biases, *self.vectors.values()]
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
        for source, target in self._tables():
            gradient = target.weight.grad
            if gradient is None:
                continue
            table = source.weight.detach()
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
        for table in self._view.embeddings:
            table.embedding.sparse = False

    def tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {"clock": self._clock, "words": self.words}
        for key, group in self.index_groups.items():
            tensors |= {f"indices.{key}.{name}": value for name, value in group.tensors().items()}
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
        kept = {key: group.indices() for key, group in self.index_groups.items()}
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
        self._indices = {key: group.indices() for key, group in self.index_groups.items()}
        self._listed = int(self._clock[1])
        shape = self._shape()
        width, ffn = len(self._view.embedding_norm.weight), len(self._view.layers[0].ffn_in.weight)
        if (width, ffn) != (shape.hidden, shape.ffn):
            self._rebuild(shape)

    def _shape(self) -> EncoderShape:
        """Of what is still there."""
        s = self._architecture.shape
        hidden = len(self._indices[RESIDUAL])
        heads = hidden // s.head_dim if self._whole_heads else s.heads
        return EncoderShape(
            layers=s.layers,
            hidden=hidden,
            heads=heads,
            ffn=len(self._indices[GroupKey(Axis.NEURONS, 0)]),
        )

    def _rebuild(self, shape: EncoderShape) -> None:
        architecture = self._architecture.at(shape)
        with torch.random.fork_rng():  # draws weights that nobody will see
            made = build_network(self.network.config, architecture, self._head).to(self._device)
        copy_dropout(self.network, made)  # the config's own is the teacher's
        replace_modules(self.network, made)
        self._view = encoder_view(self.network, architecture)
        # With a sparse gradient a step touches the batch's rows alone, never the whole vocabulary.
        for table in self._view.embeddings:
            table.embedding.sparse = not self.wiring.is_tied

    def _generate(self) -> dict[str, Tensor]:
        """Every parameter of the network but the embeddings."""
        made: dict[str, Tensor] = {}
        # The network divides scores by the root of the head width that is there, the teacher by its own.
        temperature = math.sqrt(self._shape().head_dim / self._architecture.shape.head_dim)
        for matrix, ends in self.wiring.matrices.items():
            rows = None if ends.rows is None else self._indices[ends.rows]
            weight, bias = self.linears[matrix.name](rows, self._indices[ends.columns])
            scale = temperature if self.wiring.is_query(matrix) else 1.0
            made[matrix.weight_name] = scale * weight
            if bias is not None:
                made[matrix.bias_name] = scale * bias
        for name, vector in self.vectors.items():
            group = self._vector_groups.get(name)
            made[name] = vector if group is None else selected(vector, self._indices[group])
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
        for source, target in self._tables():
            if target == self._view.embeddings.words and words is not None:
                target.weight[words] = source.weight[words] @ columns
            else:
                target.weight.copy_(source.weight @ columns)

    def _tables(self) -> Iterator[tuple[Table, Table]]:
        """Each of the teacher's on the residual stream, and the network's."""
        ours, theirs = self.wiring.view, self._view
        yield from zip(ours.embeddings, theirs.embeddings, strict=True)
        if ours.distances is not None and theirs.distances is not None:
            yield ours.distances.table, theirs.distances.table

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

        for key, group in self.index_groups.items():
            if key == RESIDUAL:
                vectors, readers = self.wiring.stream_uses()
                of_vectors = [effects(name) for norm in vectors for name in norm.vector_names]
                of_columns = [effects(reader.weight_name).sum(0) for reader in readers]
                found = torch.stack([*of_vectors, *of_columns]).sum(0)
            else:
                found = effects(self.wiring.reader_of(key).weight_name).sum(0)
            group.add_scores(self._indices[key], found)


def replace_modules(network: PreTrainedModel, other: PreTrainedModel) -> None:
    """Replace a network by another of its class in place, so that all references see the other."""
    other.train(network.training)
    for name, child in other.named_children():
        setattr(network, name, child)
    network.config = other.config


def _copied(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone())
