"""Extractive question answering: where in a context the answer begins and ends, or that it has none.

Shapes: R rows, which are windows of contexts; P positions: of each row its first token, which stands for "no
answer", and those of its context.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.answer_spans import AskedWindow, best_places, no_answer_score, rank_answers
from app.engine.tokenizing import Question
from worker.contracts import FloatArray, IntArray, ModelTokenizers, TokenizedSplit
from worker.data.questions import tokenize_questions
from worker.tasks.answer_metrics import exact_match, word_f1
from worker.tasks.implementation import TaskImplementation, Thresholds

_TEMPERATURE = 2.0


def _encode(
    columns: Mapping[str, list[Any]],
    tokenizers: ModelTokenizers,
    *,
    max_length: int,
    token_types: bool,  # noqa: ARG001 - decided by the network, whose question and context differ in type
    labels: int,  # noqa: ARG001 - it has none
) -> TokenizedSplit:
    given = columns.get("answers")
    return tokenize_questions(
        [Question(*texts) for texts in zip(columns["question"], columns["context"], strict=True)],
        None
        if given is None
        else [list(zip(row["answer_start"], row["text"], strict=True)) for row in given],
        tokenizer=tokenizers.source_tokenizer,
        max_length=max_length,
        token_types=tokenizers.token_types > 1,
    )


def log_softmax_of_rows(logits: Tensor, rows: Tensor) -> Tensor:
    """Over the positions of each row, of (P, 2).

    Args:
        logits: of all positions.
        rows: (P,), the row of each, ascending from 0.
    """
    index = rows.unsqueeze(1).expand_as(logits)
    shape = (int(rows.max()) + 1 if len(rows) else 0, logits.shape[1])
    highest = torch.full(shape, -torch.inf, device=logits.device, dtype=logits.dtype).scatter_reduce(
        0, index, logits.detach(), "amax"
    )
    shifted = logits - highest.gather(0, index)
    sums = torch.zeros(shape, device=logits.device, dtype=logits.dtype).scatter_add(0, index, shifted.exp())
    return shifted - sums.log().gather(0, index)


def span_loss(smoothing: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Cross-entropy of beginning and end, mean over both and over rows whose answer is known, or 0.

    Smoothed labels are spread over the positions of a row.
    """

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        log_scores = log_softmax_of_rows(logits, rows)
        known = labels.isfinite()
        targets = torch.where(known, labels, 0.0)
        total = -(targets * log_scores).sum()
        if smoothing:
            counts = torch.bincount(rows)[rows].unsqueeze(1)
            uniform = -torch.where(known, log_scores / counts, 0.0).sum()
            total = (1 - smoothing) * total + smoothing * uniform
        return total / targets.sum().clamp(min=1)

    return loss


def soft_span_loss(
    logits_s: Tensor, logits_t: Tensor, temperature: float | None = None, *rows: Tensor
) -> Tensor:
    """T² KL(teacher || student) of where answers begin and end, mean over both and over rows, in nats.

    Args:
        logits_s: student logits, (P, 2).
        logits_t: teacher logits, (P, 2); no gradient flows through.
        temperature: > 0; None: 2.
        rows: one, (P,): the row of each position, ascending from 0; where it is left out all are of one.
    """
    if not len(logits_s):
        return logits_s.sum()
    t = temperature or _TEMPERATURE
    [number] = rows or (torch.zeros(len(logits_s), dtype=torch.int64, device=logits_s.device),)
    ours, theirs = (log_softmax_of_rows(logits / t, number) for logits in (logits_s, logits_t))
    total = (theirs.exp() * (theirs - ours)).sum()
    return t**2 * total / (2 * (int(number.max()) + 1))


def asked_windows(split: TokenizedSplit, logits: FloatArray) -> Iterator[tuple[int, list[AskedWindow]]]:
    """Each question of a split, by its number, and its windows."""
    asked = split.questions
    assert asked is not None
    found: dict[int, list[AskedWindow]] = {}
    spans = asked.spans.tolist()
    for row, (begin, end) in zip(asked.rows.tolist(), pairwise(split.position_offsets.tolist()), strict=True):
        found.setdefault(row, []).append(AskedWindow(spans[begin:end], logits[begin:end]))
    yield from found.items()


def _metrics(
    split: TokenizedSplit, logits: FloatArray, _labels: list[str], thresholds: Thresholds, /
) -> dict[str, float]:
    scores = [
        (word_f1(answer, right), exact_match(answer, right))
        for answer, right in answers_to_questions(split, logits, thresholds)
    ]
    f1, exact = np.mean(scores, axis=0)
    answerable = [
        word_f1(answer, right) for answer, right in answers_to_questions(split, logits, ()) if right
    ]
    return {
        "f1": float(f1),
        "exact_match": float(exact),
        "answerable_f1": float(np.mean(answerable)) if answerable else 0.0,
    }


def f1_of_questions(split: TokenizedSplit, logits: FloatArray, thresholds: Thresholds) -> list[float]:
    """Of the words of each question's answer, in the order in which questions come."""
    return [word_f1(answer, right) for answer, right in answers_to_questions(split, logits, thresholds)]


def answers_to_questions(
    split: TokenizedSplit, logits: FloatArray, thresholds: Thresholds
) -> Iterator[tuple[str, list[str]]]:
    """What is answered to each question, "" for no answer, and what would be right; nothing where none is."""
    threshold = thresholds[0] if thresholds else None
    asked = split.questions
    assert asked is not None
    assert asked.answers is not None
    for number, windows in asked_windows(split, logits):
        context = asked.contexts[number]
        best = rank_answers(windows, context, threshold=threshold)
        yield context[best[0].start : best[0].end] if best else "", asked.answers[number]


def _thresholds(split: TokenizedSplit, logits: FloatArray) -> Thresholds:
    """The log-odds of "no answer" from which on none is best given; () where all contexts have one."""
    asked = split.questions
    assert asked is not None
    assert asked.answers is not None
    numbers = {int(row) for row in asked.rows}
    if all(asked.answers[number] for number in numbers):
        return ()
    odds, gains = [], []
    for number, windows in asked_windows(split, logits):
        context, right = asked.contexts[number], asked.answers[number]
        # With an answer at any odds, scored beside "no answer".
        best = rank_answers(windows, context, threshold=np.inf)[0]
        odds.append(no_answer_score(windows) - best.log_score)
        gains.append(word_f1(context[best.start : best.end], right) - word_f1("", right))
    order = np.argsort(odds)
    sorted_odds = np.asarray(odds)[order]
    kept = np.concatenate([[0], np.cumsum(np.asarray(gains)[order])])
    cuts = np.concatenate(
        [[sorted_odds[0] - 1], (sorted_odds[1:] + sorted_odds[:-1]) / 2, [sorted_odds[-1] + 1]]
    )
    return [float(cuts[kept.argmax()])]


def _share_without_answer(split: TokenizedSplit) -> float:
    asked = split.questions
    assert asked is not None
    assert asked.answers is not None
    return float(np.mean([not asked.answers[row] for row in np.unique(asked.rows)]))


def _agreement(
    reference: FloatArray, exported: FloatArray, _thresholds: Thresholds, counts: IntArray | None = None, /
) -> float:
    """The mean share of tokens that the best answers of both in a window have in common, as an F1."""
    ends = np.cumsum([len(reference)] if counts is None else counts)
    shared = [
        _overlap(best_places(reference[begin:end]), best_places(exported[begin:end]))
        for begin, end in pairwise([0, *ends.tolist()])
        if begin < end
    ]
    return float(np.mean(shared))


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    common = min(one[1], other[1]) - max(one[0], other[0]) + 1
    return 2 * max(0, common) / (one[1] - one[0] + other[1] - other[0] + 2)


IMPLEMENTATION = TaskImplementation(
    encode=_encode,
    answer_loss=span_loss,
    soft_loss=soft_span_loss,
    metrics=_metrics,
    baseline=_share_without_answer,
    agreement=_agreement,
    thresholds=_thresholds,
    needs_rows=True,
)
