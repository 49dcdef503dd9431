"""Starting a student from its teacher: random, copied and selected networks, calibration batches.

Shapes: H teacher width, D student width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from app.domain.methods import LayerMap
from app.domain.tasks import TASKS
from worker.contracts import IntArray, RunContext, TaskData, Teacher
from worker.data.batches import collate
from worker.networks.loading import build_network
from worker.networks.structure import complete
from worker.networks.views import NetworkView, StackView, network_view
from worker.transfer.activations import Inputs
from worker.transfer.even_selection import evenly_spaced_selections
from worker.transfer.selection import Selection, select
from worker.transfer.subcloning import subclone

CALIBRATION_TOKENS = 20_000
"""Enough for a regression on a thousand values, little enough to keep in memory."""
_BATCH_SIZE = 64


@dataclass(frozen=True)
class InitialStudent:
    """A student before it is trained."""

    network: PreTrainedModel
    projection: Tensor | None
    """From the teacher's residual stream to the network's, (H, D): selects what is kept. None where nothing
    is, or there are two streams."""


def calibration_rows(data: TaskData, *, tokens: int = CALIBRATION_TOKENS) -> IntArray:
    """The same few rows of the training split for every job on it, by length."""
    shuffled = np.random.default_rng(0).permutation(len(data.train))
    enough = int(np.searchsorted(np.cumsum(data.train.lengths[shuffled]), tokens)) + 1
    chosen = shuffled[:enough]
    by_length: IntArray = chosen[np.argsort(data.train.lengths[chosen], kind="stable")]
    return by_length


def calibration_batches(
    data: TaskData, *, device: torch.device, tokens: int = CALIBRATION_TOKENS
) -> list[Inputs]:
    """The inputs of ``calibration_rows``, in batches of nearly equal length."""
    chosen = calibration_rows(data, tokens=tokens)
    batches = [
        collate(data.train, chosen[i : i + _BATCH_SIZE], pad_id=data.pad_id, device=device)
        for i in range(0, len(chosen), _BATCH_SIZE)
    ]
    if not TASKS[data.task].writes:
        return [batch.inputs for batch in batches]
    return [
        {**batch.inputs, "decoder_attention_mask": batch.positions}
        for batch in batches
        if batch.positions is not None
    ]


def random_network(teacher: Teacher, data: TaskData, context: RunContext) -> PreTrainedModel:
    """The planned student, with random weights that depend on the seed alone."""
    torch.manual_seed(context.training.seed)
    return build_network(teacher.network.config, context.architecture, data.head).to(context.device)


def subcloned_network(
    teacher: Teacher, data: TaskData, context: RunContext, *, layer_map: LayerMap, rescale: bool = True
) -> InitialStudent:
    """A student of the planned shape that starts as the selected part of its teacher."""
    network = unfolded_network(teacher, data, context)
    source, target = unfolded_views(teacher, network, context)
    batches = calibration_batches(data, device=context.device)
    selections = select(source, batches, student=target.shape, layer_map=layer_map)
    subclone(source, target, selections, rescale=rescale)
    return InitialStudent(completed(network, context), residual_selector(source.stacks, selections))


def evenly_spaced_network(teacher: Teacher, data: TaskData, context: RunContext) -> InitialStudent:
    """A student that starts as evenly spaced parts of its teacher's first layers, but for the head."""
    network = unfolded_network(teacher, data, context)
    source, target = unfolded_views(teacher, network, context)
    selections = evenly_spaced_selections(source, target.shape)
    subclone(source, target, selections, rescale=False, with_head=False)
    return InitialStudent(completed(network, context), residual_selector(source.stacks, selections))


def unfolded_views(
    teacher: Teacher, network: PreTrainedModel, context: RunContext
) -> tuple[NetworkView, NetworkView]:
    """The teacher's, on the device, and that of an ``unfolded_network``."""
    source = network_view(teacher.network.to(context.device), teacher.architecture)
    return source, network_view(network, context.architecture.unfolded)


def residual_selector(stacks: Sequence[StackView], selections: Sequence[Selection]) -> Tensor | None:
    """Of a teacher's residual dimensions those that are kept, (H, D); None where there are two streams."""
    if len(stacks) > 1:
        return None
    [stack], [selection] = stacks, selections
    return torch.eye(stack.shape.hidden, device=selection.residual.device)[:, selection.residual]


def first_layers_network(teacher: Teacher, data: TaskData, context: RunContext) -> PreTrainedModel:
    """A student as wide as its teacher that starts as its first layers, embeddings and head.

    Factors of matrices are left at random.
    """
    network = unfolded_network(teacher, data, context)
    own = network.state_dict()
    known = {name: value for name, value in teacher.network.state_dict().items() if name in own}
    network.load_state_dict(known, strict=False)
    return completed(network, context)


def unfolded_network(teacher: Teacher, data: TaskData, context: RunContext) -> PreTrainedModel:
    """A random network that has a place for the teacher's weights; ``completed`` makes it the planned one."""
    torch.manual_seed(context.training.seed)
    network = build_network(teacher.network.config, context.architecture.unfolded, data.head)
    return network.to(context.device)


def completed(network: PreTrainedModel, context: RunContext) -> PreTrainedModel:
    """The planned student, made of an ``unfolded_network`` whose weights stand."""
    complete(network, context.architecture)
    return network
