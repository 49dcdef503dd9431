"""Starting a student from its teacher: random, copied and selected networks, calibration batches.

Shapes: H teacher width, D student width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from app.domain.architectures import EncoderArchitecture, EncoderDecoderArchitecture
from app.domain.methods import LayerMap
from app.domain.tasks import TASKS
from worker.contracts import IntArray, RunContext, TaskData, Teacher
from worker.data.batches import collate
from worker.networks.loading import build_network
from worker.networks.structure import complete, unfolded
from worker.networks.views import encoder_view, translator_view
from worker.transfer.activations import Inputs
from worker.transfer.even_selection import evenly_spaced_selection, evenly_spaced_stack_selections
from worker.transfer.selection import Selection, select, select_stacks
from worker.transfer.subcloning import subclone, subclone_stacks

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
    batches = calibration_batches(data, device=context.device)
    source = teacher.network.to(context.device)
    projection: Tensor | None = None
    match teacher.architecture, context.architecture:
        case EncoderArchitecture() as architecture, EncoderArchitecture() as planned:
            teacher_view = encoder_view(source, architecture)
            student_view = encoder_view(network, unfolded(planned))
            selection = select(teacher_view, batches, student=student_view.shape, layer_map=layer_map)
            subclone(teacher_view, student_view, selection, rescale=rescale)
            projection = residual_selector(architecture, selection)
        case EncoderDecoderArchitecture() as architecture, EncoderDecoderArchitecture() as planned:
            translator = translator_view(source, architecture)
            selections = select_stacks(translator, batches, student=planned.shape, layer_map=layer_map)
            subclone_stacks(translator, translator_view(network, planned), selections, rescale=rescale)
        case _:
            raise _not_smaller(teacher, context)
    return InitialStudent(completed(network, context), projection)


def evenly_spaced_network(teacher: Teacher, data: TaskData, context: RunContext) -> InitialStudent:
    """A student that starts as evenly spaced parts of its teacher's first layers, but for the head."""
    network = unfolded_network(teacher, data, context)
    source = teacher.network.to(context.device)
    projection: Tensor | None = None
    match teacher.architecture, context.architecture:
        case EncoderArchitecture() as architecture, EncoderArchitecture() as planned:
            teacher_view = encoder_view(source, architecture)
            student_view = encoder_view(network, unfolded(planned))
            selection = evenly_spaced_selection(teacher_view.shape, student_view.shape)
            subclone(teacher_view, student_view, selection, rescale=False, with_head=False)
            projection = residual_selector(architecture, selection)
        case EncoderDecoderArchitecture() as architecture, EncoderDecoderArchitecture() as planned:
            selections = evenly_spaced_stack_selections(architecture, planned.shape)
            translator = translator_view(source, architecture)
            subclone_stacks(translator, translator_view(network, planned), selections, rescale=False)
        case _:
            raise _not_smaller(teacher, context)
    return InitialStudent(completed(network, context), projection)


def residual_selector(architecture: EncoderArchitecture, selection: Selection) -> Tensor:
    """Of a teacher's residual dimensions those that are kept, (H, D)."""
    keep = selection.residual
    return torch.eye(architecture.shape.hidden, device=keep.device)[:, keep]


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
    architecture = (
        unfolded(context.architecture)
        if isinstance(context.architecture, EncoderArchitecture)
        else context.architecture
    )
    return build_network(teacher.network.config, architecture, data.head).to(context.device)


def completed(network: PreTrainedModel, context: RunContext) -> PreTrainedModel:
    """The planned student, made of an ``unfolded_network`` whose weights stand."""
    if isinstance(context.architecture, EncoderArchitecture):
        complete(network, context.architecture)
    return network


def _not_smaller(teacher: Teacher, context: RunContext) -> ValueError:
    return ValueError(f"{context.architecture} is not a smaller {teacher.architecture.family}")
