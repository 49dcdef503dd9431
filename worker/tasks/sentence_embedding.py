from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from app.domain.tasks.record import TEACHER_SCORES
from worker.contracts import FloatArray, IntArray, ModelTokenizers, TokenizedSplit
from worker.data.tokenization import tokenize
from worker.tasks.implementation import AnswerLoss, TaskImplementation, Thresholds
from worker.tasks.metrics import nothing_right
from worker.tasks.vector_metrics import mean_cosine, neighbour_recall, passage_recall, similarity_spearman


def _encode(
    columns: Mapping[str, list[Any]], tokenizers: ModelTokenizers, *, max_length: int, **_options: object
) -> TokenizedSplit:
    """A row for each text; those of a pair follow one another."""
    texts: Sequence[str] = columns["text"]
    others = columns.get("text_pair")
    if others is not None:
        texts = list(chain.from_iterable(zip(texts, others, strict=True)))
    split = tokenize(
        texts,
        tokenizer=tokenizers.source_tokenizer,
        max_length=max_length,
        scores=columns.get(TEACHER_SCORES),
    )
    if others is None:
        return split
    scores = columns.get("score")
    return replace(
        split,
        groups=np.repeat(np.arange(len(others)), 2),
        labels=None if scores is None else np.repeat(np.asarray(scores, np.float32), 2),
    )


def embedding_metrics(
    split: TokenizedSplit, vectors: FloatArray, _labels: list[str], _thresholds: Thresholds, /
) -> dict[str, float]:
    """From vectors (N, D); ``cosine`` where the teacher's have as many dimensions."""
    found = {
        "spearman": similarity_spearman(split, vectors),
        "neighbour_recall_at_10": neighbour_recall(split, vectors),
    }
    theirs = split.teacher_vectors
    if theirs is not None and theirs.shape == vectors.shape:
        found["cosine"] = mean_cosine(theirs, vectors)
    if split.groups is not None and split.labels is None:
        found["passage_recall_at_10"] = passage_recall(split.groups, vectors)
    return found


def vector_distance(
    vectors_s: Tensor, vectors_t: Tensor, _temperature: float | None = None, *_rows: Tensor
) -> Tensor:
    """One minus the cosine, plus the squared distance as a share of the teacher's squared length.

    Args:
        vectors_s: (B, D).
        vectors_t: (B, D); no gradient flows through.

    Returns:
        Scalar, mean over rows.
    """
    angle = 1 - functional.cosine_similarity(vectors_s, vectors_t, dim=-1).mean()
    return angle + (vectors_s - vectors_t).square().sum() / vectors_t.square().sum().clamp(min=1e-12)


def _nothing(_smoothing: float) -> AnswerLoss:
    """Scores of pairs are what vectors are measured by: nothing is learnt from them."""
    return lambda vectors, _scores: 0.0 * vectors.sum()


def vector_agreement(
    reference: FloatArray,
    exported: FloatArray,
    _thresholds: Thresholds,
    _counts: IntArray | None = None,
    /,
) -> float:
    """The mean cosine, from 0."""
    return max(0.0, mean_cosine(reference, exported))


IMPLEMENTATION = TaskImplementation(
    encode=_encode,
    answer_loss=_nothing,
    soft_loss=vector_distance,
    metrics=embedding_metrics,
    baseline=nothing_right,
    agreement=vector_agreement,
)
