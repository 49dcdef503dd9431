"""What a teacher says of each token alone, and how much each counts in a text.

Shapes: V vocabulary, D dimensions.
"""

import hashlib

import numpy as np

from app.domain.methods import StaticEmbeddingSpec
from worker.contracts import FloatArray, IntArray, RunContext, TaskData, Teacher, TokenizedSplit
from worker.distillation.teacher_outputs import exact_logits
from worker.networks.new_static import framing


def token_vectors(teacher: Teacher, data: TaskData, context: RunContext) -> FloatArray:
    """The teacher's vectors of texts of one token each, framed as any text is: (V, D)."""
    before, after = framing(teacher.tokenizer)
    tokens = np.arange(data.vocabulary, dtype=np.int32)[:, None]
    rows = [np.tile(np.array(ids, np.int32), (len(tokens), 1)) for ids in (before, after)]
    ids = np.concatenate([rows[0], tokens, rows[1]], axis=1)
    split = TokenizedSplit(
        ids=ids.ravel(),
        type_ids=None,
        offsets=np.arange(len(tokens) + 1) * ids.shape[1],
        labels=None,
        digest=hashlib.sha256(ids.tobytes()).hexdigest(),
    )
    return np.array(exact_logits(teacher, split, pad_id=data.pad_id, context=context))


def token_weights(data: TaskData, spec: StaticEmbeddingSpec) -> FloatArray:
    """(V,), the mean over the training texts being 1."""
    counts = np.zeros(data.vocabulary, np.int64)
    for split in (data.train, data.unlabeled):
        if split is not None:
            counts += np.bincount(split.ids, minlength=data.vocabulary)
    weights = _raw_weights(counts, spec)
    mean = float(weights @ counts / counts.sum())
    return (weights / mean).astype(np.float32)


def _raw_weights(counts: IntArray, spec: StaticEmbeddingSpec) -> FloatArray:
    match spec.weighting:
        case "none":
            return np.ones(len(counts), np.float32)
        case "sif":
            shares = (counts + 1) / (counts + 1).sum()
        case "zipf":
            ranks = 1 / np.arange(1, len(counts) + 1)
            shares = ranks / ranks.sum()
    weights: FloatArray = (spec.sif_coefficient / (spec.sif_coefficient + shares)).astype(np.float32)
    return weights
