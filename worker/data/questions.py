"""Questions and their contexts to tokens: each row of a split is a window of a context."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tokenizers import Tokenizer

from app.engine.question_windows import Window, WindowTokenizer
from app.engine.tokenizing import Question
from worker.contracts import AskedContexts, FloatArray, TokenizedSplit
from worker.data.tokenization import split_of

Answers = Sequence[tuple[int, str]]
"""Where in a context each of several answers begins, which all count as right; none: the context has none."""


def tokenize_questions(
    questions: Sequence[Question],
    answers: Sequence[Answers] | None,
    *,
    tokenizer: Tokenizer,
    max_length: int,
    token_types: bool,
) -> TokenizedSplit:
    """Encode questions with each window of their contexts.

    Labels are (P, 2): 1 where the first of the answers begins and where it ends, if all of it lies in the
    window; else at the window's first token, which stands for "no answer".
    """
    windower = WindowTokenizer(tokenizer, max_length=max_length)
    each = windower.windows(questions)
    windows = [window for found in each for window in found]
    rows = np.repeat(np.arange(len(questions)), [len(found) for found in each])
    split = split_of([window.tokens for window in windows], token_types=token_types)
    positions = np.zeros(len(split.ids), np.bool_)
    for begin, window in zip(split.offsets[:-1], windows, strict=True):
        positions[begin + np.asarray(window.places)] = True
    labels = None
    if answers is not None:
        labels = np.concatenate(
            [_label(window, answers[row]) for row, window in zip(rows.tolist(), windows, strict=True)]
        )
    return replace(
        split,
        positions=positions,
        labels=labels,
        questions=AskedContexts(
            contexts=[question.context for question in questions],
            answers=None if answers is None else [[text for _, text in given] for given in answers],
            rows=rows,
            spans=np.array([span for window in windows for span in window.spans], np.int64),
        ),
    )


def _label(window: Window, answers: Answers) -> FloatArray:
    """(places, 2)."""
    labels = np.zeros((len(window.places), 2), np.float32)
    labels[_places_of(window, answers), [0, 1]] = 1
    return labels


def _places_of(window: Window, answers: Answers) -> tuple[int, int]:
    """Those of the first and the last token of the first answer."""
    if not answers:
        return 0, 0
    begin, text = answers[0]
    end = begin + len(text)
    inside = [place for place, span in enumerate(window.spans) if place and span[0] < end and span[1] > begin]
    if not inside or window.spans[1][0] > begin or window.spans[-1][1] < end:
        return 0, 0
    return inside[0], inside[-1]
