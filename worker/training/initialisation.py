"""Starting a student from its teacher: random and sub-cloned networks, calibration batches."""

import numpy as np
import torch
from transformers import PreTrainedModel

from app.core.shapes import EncoderCard
from app.core.specs import LayerMap
from worker.contracts import RunContext, TaskData, Teacher
from worker.data import collate
from worker.modeling.calibration import Inputs
from worker.modeling.loading import build_network
from worker.modeling.selection import select
from worker.modeling.subcloning import subclone

CALIBRATION_TOKENS = 20_000
"""Enough for a regression on a thousand values, little enough to keep in memory."""
_BATCH_SIZE = 64


def calibration_batches(data: TaskData, *, device: torch.device) -> list[Inputs]:
    """The same few rows of the training split for every job on it, in batches of nearly equal length."""
    shuffled = np.random.default_rng(0).permutation(len(data.train))
    enough = int(np.searchsorted(np.cumsum(data.train.lengths[shuffled]), CALIBRATION_TOKENS)) + 1
    chosen = shuffled[:enough]
    chosen = chosen[np.argsort(data.train.lengths[chosen], kind="stable")]
    return [
        collate(data.train, chosen[i : i + _BATCH_SIZE], pad_id=data.pad_id, device=device).inputs
        for i in range(0, len(chosen), _BATCH_SIZE)
    ]


def random_network(teacher: Teacher, data: TaskData, context: RunContext) -> PreTrainedModel:
    """The planned student, with random weights that depend on the seed alone."""
    torch.manual_seed(context.training.seed)
    return build_network(teacher.network.config, context.card, data.head).to(context.device)


def subcloned_network(
    teacher: Teacher, data: TaskData, context: RunContext, *, layer_map: LayerMap, rescale: bool = True
) -> PreTrainedModel:
    """A student of the planned shape that starts as the selected part of its teacher."""
    network = random_network(teacher, data, context)
    assert isinstance(teacher.card, EncoderCard)
    assert isinstance(context.card, EncoderCard)
    selection = select(
        teacher.network.to(context.device),
        calibration_batches(data, device=context.device),
        card=teacher.card,
        student=context.card.shape,
        layer_map=layer_map,
    )
    subclone(teacher.network, network, teacher.card, context.card.shape, selection, rescale=rescale)
    return network
