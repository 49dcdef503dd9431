"""What makes a network other than the plain member of its family: factors, and layers that run again.

An architecture says it; ``config.json`` repeats it under ``squeeze``, because the family's own config has no
keys for it. Everything is made of the family's modules and torch's, so that such a network runs, trains and
exports like a plain one.

Shapes: V words, E width of the word table, D width of the network, R rank, M inputs, N outputs.
"""

import copy
from dataclasses import fields
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from app.domain.architectures import Architecture, EncoderArchitecture, LayerUse
from worker.networks.anatomy import ANATOMIES, LayerParts
from worker.networks.views import encoder_view
from worker.numerics.least_squares import singular_directions

CONFIG_KEY: Final = "squeeze"
"""Where ``config.json`` says what the family's own config cannot."""


class TiedWords(nn.Module):
    """The output of a masked-language model whose word table is factorised: both factors are the input's."""

    def __init__(self, table: Tensor, projection: Tensor, bias: nn.Parameter) -> None:
        """Tie (V, E) and (D, E), beside a bias (V,) of the output's own."""
        super().__init__()
        self.table = table
        self.projection = projection
        self.bias = bias

    def forward(self, states: Tensor) -> Tensor:
        """Logits (..., V) of states (..., D)."""
        return functional.linear(states @ self.projection, self.table, self.bias)


def describe(architecture: Architecture) -> dict[str, Any] | None:
    """What an architecture has that plain ones have not, as ``config.json`` puts it; None: nothing."""
    if not isinstance(architecture, EncoderArchitecture):
        return None
    schedule = None if architecture.schedule is None else [use.model_dump() for use in architecture.schedule]
    structure = {
        "rank": architecture.shape.rank,
        "embedding": architecture.shape.embedding if architecture.has_factorised_words else None,
        "schedule": schedule,
    }
    return structure if any(structure.values()) else None


def restructure(network: PreTrainedModel, architecture: EncoderArchitecture) -> None:
    """Bring a plain network to the architecture's structure, in place; new parts start at random."""
    if architecture.shape.rank is not None:
        for layer in encoder_view(network, architecture.at(architecture.shape)).layers:
            for matrix in layer.matrices:
                factors = nn.Sequential(
                    nn.Linear(matrix.linear.in_features, architecture.shape.rank, bias=False),
                    nn.Linear(
                        architecture.shape.rank, matrix.linear.out_features, bias=matrix.bias is not None
                    ),
                )
                network.set_submodule(matrix.name, factors)
    if architecture.has_factorised_words:
        assert architecture.shape.embedding is not None
        std = network.config.initializer_range
        table = torch.randn(architecture.vocabulary, architecture.shape.embedding) * std
        # Rows of unit length on average: words enter the network as large as from a whole table.
        projection = (
            torch.randn(architecture.shape.hidden, architecture.shape.embedding)
            * architecture.shape.embedding**-0.5
        )
        _place_words(network, architecture, table, projection)
    if architecture.schedule is not None:
        _share_layers(network, architecture, architecture.schedule)
    _note(network, architecture)


def complete(network: PreTrainedModel, architecture: Architecture) -> None:
    """Bring a network of the ``unfolded`` architecture to the architecture's structure, in place.

    The word table becomes the product of least squared distance: words on the table's first singular
    directions, and these directions.
    """
    if not isinstance(architecture, EncoderArchitecture):
        return  # it is never folded
    if architecture.has_factorised_words:
        assert architecture.shape.embedding is not None
        table = encoder_view(network, architecture.unfolded).embeddings.words.weight.detach()  # (V, D)
        directions = singular_directions(table, architecture.shape.embedding)  # (D, E)
        _place_words(network, architecture, table @ directions, directions)
    if architecture.schedule is not None:
        _share_layers(network, architecture, architecture.schedule)
    _note(network, architecture)


def unshared_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network, each tensor once, under the first of its names."""
    seen: set[int] = set()
    state = {}
    for name, value in network.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            state[name] = value.detach()
    return state


@torch.no_grad()
def _place_words(
    network: PreTrainedModel, architecture: EncoderArchitecture, table: Tensor, projection: Tensor
) -> None:
    """Put E P^T, (V, E) and (D, E), in the place of the word table, and of the output that is tied to it."""
    view = encoder_view(network, architecture.unfolded)
    whole = view.embeddings.words
    narrow = nn.Embedding(len(table), table.shape[1], padding_idx=whole.embedding.padding_idx)
    widen = nn.Linear(table.shape[1], architecture.shape.hidden, bias=False)
    narrow.weight.copy_(table)
    widen.weight.copy_(projection)
    words = nn.Sequential(narrow, widen).to(whole.weight.device)
    network.set_submodule(whole.name, words)
    if view.head.is_tied:
        bias = network.get_parameter(view.head.output.bias_name)
        network.set_submodule(view.head.output.name, TiedWords(narrow.weight, widen.weight, bias))


def _share_layers(
    network: PreTrainedModel, architecture: EncoderArchitecture, schedule: tuple[LayerUse, ...]
) -> None:
    anatomy = ANATOMIES[architecture.family]
    once = list(network.get_submodule(anatomy.layers).children())
    in_order, used = nn.ModuleList(), set()
    for use in schedule:
        layer = once[use.layer]
        if use.layer in used or use.swapped:
            layer = _second_use(layer, anatomy.layer, swapped=use.swapped)
        used.add(use.layer)
        in_order.append(layer)
    network.set_submodule(anatomy.layers, in_order)


def _second_use(layer: nn.Module, parts: LayerParts, *, swapped: bool) -> nn.Module:
    """A layer of its own whose parts are another's, so that it holds no parameter of its own."""
    again = copy.deepcopy(layer)
    exchanged = {"query": parts.module("key"), "key": parts.module("query")} if swapped else {}
    for field in fields(parts):
        name = parts.module(field.name)
        if name:
            again.set_submodule(name, layer.get_submodule(exchanged.get(field.name, name)))
    return again


def _note(network: PreTrainedModel, architecture: EncoderArchitecture) -> None:
    structure = describe(architecture)
    if structure is not None:
        setattr(network.config, CONFIG_KEY, structure)
