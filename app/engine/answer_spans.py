"""From what a network says of each token to an answer: a stretch of the context, or that it has none.

A question with a long context is asked in several windows. Shapes: P places of a window where the network is
asked: its first token, which stands for "no answer", and those of the context.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]

MOST_TOKENS = 30
"""Of an answer, where nobody says otherwise."""

_UNSPACED = ((0x0E00, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF))
"""Letters of scripts that put no spaces between words."""


class AnswerSpan(NamedTuple):
    """``context[start:end]``; nothing where the context has no answer."""

    start: int
    end: int
    log_score: float
    """Of its probability within its window."""


@dataclass(frozen=True, slots=True)
class AskedWindow:
    """A window, and what a network says of it."""

    spans: Sequence[tuple[int, int]]
    """(P,): what of the context lies at each place; the first is of no meaning."""
    logits: FloatArray
    """(P, 2): of an answer that begins there, and of one that ends there."""


def rank_answers(
    windows: Sequence[AskedWindow],
    context: str,
    *,
    count: int = 1,
    most_tokens: int = MOST_TOKENS,
    threshold: float | None = None,
) -> list[AnswerSpan]:
    """The answers to a question, best first.

    Args:
        windows: of its context.
        context: in whole words of which answers are given.
        count: of answers.
        most_tokens: of an answer.
        threshold: log-odds of "no answer" against the best other from which on that is the answer, and it is
            among the answers at all; None: the context is taken to have one.
    """
    found = [span for window in windows for span in _spans(window, count, most_tokens, threshold is not None)]
    best: dict[tuple[int, int], AnswerSpan] = {}
    for span in sorted(found, key=attrgetter("log_score"), reverse=True):
        start, end = whole_words(context, span.start, span.end)
        if start < end:
            best.setdefault((start, end), AnswerSpan(start, end, span.log_score))
    answers = list(best.values())[:count]
    if threshold is None:
        return answers
    none = AnswerSpan(0, 0, no_answer_score(windows))
    if not answers or none.log_score - answers[0].log_score > threshold:
        return [none, *answers][:count]
    return [answers[0], *sorted([*answers[1:], none], key=attrgetter("log_score"), reverse=True)][:count]


def no_answer_score(windows: Sequence[AskedWindow]) -> float:
    """Log-probability that the context has none: that of the window which is least sure of it."""
    return min(float(_log_softmax(window.logits)[0].sum()) for window in windows)


def best_places(logits: FloatArray, *, most_tokens: int = MOST_TOKENS) -> tuple[int, int]:
    """The first and the last place of a window's answer; (0, 0) where it has none."""
    log_scores = _log_softmax(logits)
    scores = _scores_by_length(log_scores, most_tokens)
    if not scores.size or scores.max() < log_scores[0].sum():
        return 0, 0
    longer, first = np.unravel_index(scores.argmax(), scores.shape)
    return int(first) + 1, int(first + longer) + 1


def whole_words(context: str, start: int, end: int) -> tuple[int, int]:
    """The place without spaces around it, and with the rest of words that it cuts."""
    while start < end and context[start].isspace():
        start += 1
    while start < end and context[end - 1].isspace():
        end -= 1
    if start == end:
        return start, end
    while start > 0 and _are_of_one_word(context[start - 1], context[start]):
        start -= 1
    while end < len(context) and _are_of_one_word(context[end - 1], context[end]):
        end += 1
    return start, end


def _spans(window: AskedWindow, count: int, most_tokens: int, may_have_none: bool) -> list[AnswerSpan]:
    logits = window.logits
    if not may_have_none:
        logits = logits.copy()
        logits[0] = -np.inf
    if len(logits) < 2:
        return []
    scores = _scores_by_length(_log_softmax(logits), most_tokens)
    # Several stretches may be the same words: some more are looked at than are wanted.
    wanted = min(scores.size, 1 if count == 1 else 4 * count)
    best = np.argpartition(-scores, wanted - 1, axis=None)[:wanted]
    return [
        AnswerSpan(window.spans[first + 1][0], window.spans[first + longer + 1][1], float(score))
        for longer, first, score in zip(*np.unravel_index(best, scores.shape), scores.flat[best], strict=True)
        if np.isfinite(score)
    ]


def _scores_by_length(log_scores: FloatArray, most_tokens: int) -> FloatArray:
    """Of stretches by their tokens beside the first, and by their first: (lengths, P - 1)."""
    places = len(log_scores) - 1
    lengths = min(most_tokens, places)
    scores = np.full((lengths, places), -np.inf, np.float32)
    for longer in range(lengths):
        scores[longer, : places - longer] = (
            log_scores[1 : places + 1 - longer, 0] + log_scores[1 + longer :, 1]
        )
    return scores


def _log_softmax(logits: FloatArray) -> FloatArray:
    """Over the places, of each column."""
    shifted = logits - logits.max(axis=0)
    normalised: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=0))
    return normalised


def _are_of_one_word(one: str, other: str) -> bool:
    return one.isalnum() and other.isalnum() and not (_is_unspaced(one) or _is_unspaced(other))


def _is_unspaced(letter: str) -> bool:
    return any(first <= ord(letter) <= last for first, last in _UNSPACED)
