"""Starting a student from its teacher: calibration batches, selection, sub-cloned networks."""

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from app.core.specs import LayerMap
from worker.contracts import RunContext, TaskData, Teacher
from worker.modeling.calibration import Activations, Inputs, record
from worker.modeling.loading import build_network
from worker.modeling.selection import Selection, select
from worker.modeling.subcloning import subclone
from worker.training.data import collate

CALIBRATION_ROWS = 512
_BATCH_SIZE = 64


def calibration_batches(
    data: TaskData, *, device: torch.device, rows: int = CALIBRATION_ROWS
) -> list[Inputs]:
    """The same few rows of the training split for every job on it, in batches of nearly equal length."""
    chosen = np.random.default_rng(0).permutation(len(data.train))[:rows]
    chosen = chosen[np.argsort(data.train.lengths[chosen], kind="stable")]
    return [
        collate(data.train, chosen[i : i + _BATCH_SIZE], pad_id=data.pad_id, device=device).inputs
        for i in range(0, len(chosen), _BATCH_SIZE)
    ]


def calibrate(teacher: Teacher, data: TaskData, *, device: torch.device) -> Activations:
    """The teacher's activations on the calibration batches."""
    return record(teacher.network.to(device), teacher.card, calibration_batches(data, device=device))


def select_for(
    teacher: Teacher, activations: Activations, context: RunContext, *, layer_map: LayerMap
) -> Selection:
    """What the planned student keeps of the teacher."""
    return select(activations, teacher=teacher.card.shape, student=context.shape, layer_map=layer_map)


def principal_directions(values: Tensor, count: int) -> Tensor:
    """The directions of most variance of (K, D) values: (D, count), orthonormal columns."""
    centred = (values - values.mean(0)).double()
    _, directions = torch.linalg.eigh(centred.T @ centred)
    return torch.as_tensor(directions[:, -count:], dtype=values.dtype)


def subcloned_network(
    teacher: Teacher, data: TaskData, context: RunContext, *, layer_map: LayerMap, rescale: bool = True
) -> PreTrainedModel:
    """A student of the planned shape that starts as the selected part of its teacher."""
    activations = calibrate(teacher, data, device=context.device)
    selection = select_for(teacher, activations, context, layer_map=layer_map)
    network = build_network(teacher.network, teacher.card, context.shape).to(context.device)
    subclone(teacher.network, network, teacher.card, context.shape, selection, rescale=rescale)
    return network
