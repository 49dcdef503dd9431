"""What students that answer with vectors are measured by, and a teacher that answers with shorter ones.

Shapes: K texts, H width of the states, D dimensions of the teacher's vectors, d of shorter ones.
"""

import copy
import hashlib
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from worker.contracts import RunContext, TaskData, Teacher, TokenizedSplit
from worker.distillation.teacher_outputs import exact_logits, teacher_logits
from worker.networks.pooled import pooling_of, set_pooling
from worker.numerics.least_squares import singular_directions

_MOST_ROWS: Final = 20_000
"""Whose vectors principal directions are found from."""


def with_teacher_vectors(
    split: TokenizedSplit, teacher: Teacher, *, pad_id: int, context: RunContext
) -> TokenizedSplit:
    """The split beside what its teacher answers; the cache keeps that."""
    vectors = exact_logits(teacher, split, pad_id=pad_id, context=context)
    return replace(split, teacher_vectors=np.array(vectors))


def reduced_teacher(teacher: Teacher, data: TaskData, dimensions: int, context: RunContext) -> Teacher:
    """A teacher whose vectors are the given one's on their principal directions, strongest first.

    Cosines of the shorter vectors are the nearest to those of the whole ones, and so are those of their first
    dimensions alone.
    """
    vectors = teacher_logits(teacher, data.train, pad_id=data.pad_id, context=context)
    table = torch.from_numpy(np.array(vectors[:: -(-len(vectors) // _MOST_ROWS)]))  # (K, D)
    directions = singular_directions(table.to(context.device), dimensions)  # (D, d)
    digest = hashlib.sha256(teacher.digest.encode() + directions.cpu().numpy().tobytes()).hexdigest()
    return replace(teacher, network=_projected(teacher.network, directions), digest=digest)


@torch.no_grad()
def _projected(network: PreTrainedModel, directions: torch.Tensor) -> PreTrainedModel:
    """A copy that answers on some directions, (D, d), of its vectors, which no activation bends."""
    shorter = copy.deepcopy(network)
    whole = shorter.get_submodule("projection")
    assert isinstance(whole, nn.Linear)
    directions = directions.to(whole.weight)
    projection = nn.Linear(whole.in_features, directions.shape[1]).to(whole.weight)
    projection.weight.copy_(directions.T @ whole.weight)
    projection.bias.copy_(directions.T @ whole.bias)
    shorter.set_submodule("projection", projection)
    pooling = pooling_of(network.config).model_copy(update={"projection": directions.shape[1]})
    set_pooling(shorter.config, pooling)
    return shorter
