"""Models that find the answer to a question in a context."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.answer_spans import MOST_TOKENS, AskedWindow, rank_answers
from app.engine.encoder import OnnxEncoder
from app.engine.question_windows import Window, WindowTokenizer
from app.engine.tokenizing import Question, TextTokenizer
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import FoundAnswer, FoundAnswers

_LIMITS = RunLimits()
_NEITHER = 0.0
"""Log-odds of "no answer" from which on that is the answer of a model for which no job has chosen any."""


@dataclass(frozen=True, slots=True)
class AnsweringOptions:
    """How answers are given."""

    top_k: int = 1
    most_tokens: int = MOST_TOKENS
    may_have_none: bool | None = None
    """Whether "no answer" is among the answers; None: if the model learnt that."""


@dataclass(frozen=True, slots=True)
class _AskedQuestion:
    """A question as the model reads it."""

    context: str
    windows: list[Window]

    def __len__(self) -> int:
        return sum(map(len, self.windows))


class QuestionAnswerer:
    """The most probable stretch of a context over all its windows, or that there is none."""

    def __init__(
        self,
        encoder: OnnxEncoder,
        tokenizer: TextTokenizer,
        windower: WindowTokenizer,
        *,
        threshold: float | None,
    ) -> None:
        """Open a model.

        Args:
            encoder: the network.
            tokenizer: pads windows.
            windower: makes them.
            threshold: log-odds of "no answer" from which on that is the answer; None: where it was trained,
                each context had one.
        """
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._windower = windower
        self._threshold = threshold

    def run_options(self, _inputs: Sequence[Question], options: AnsweringOptions) -> AnsweringOptions:
        """All of them: ranking the stretches of a long context takes as long as reading it."""
        return options

    def limits(self, _run_options: AnsweringOptions) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[Question], _run_options: AnsweringOptions) -> list[_AskedQuestion]:
        found = self._windower.windows(texts)
        return [
            _AskedQuestion(question.context, windows) for question, windows in zip(texts, found, strict=True)
        ]

    def run(self, run: Run[_AskedQuestion, AnsweringOptions]) -> list[FoundAnswers]:
        """Windows of one length or nearly, as many at once as a run may have tokens."""
        found: list[FoundAnswers] = []
        for number, asked in enumerate(run.texts):
            windows: list[AskedWindow] = []
            size = max(1, _LIMITS.most // max(map(len, asked.windows)))
            for begin in range(0, len(asked.windows), size):
                if not run.is_wanted(number):
                    break
                windows += self._read(asked.windows[begin : begin + size])
            is_read = len(windows) == len(asked.windows)
            answers = self._ranked(windows, asked.context, run.options) if is_read else []
            found.append(FoundAnswers(answers, is_one=run.options.top_k == 1))
        return found

    def result(self, row: FoundAnswers, _options: AnsweringOptions) -> FoundAnswers:
        return row

    def _ranked(
        self, windows: Sequence[AskedWindow], context: str, options: AnsweringOptions
    ) -> list[FoundAnswer]:
        may_have_none = (
            self._threshold is not None if options.may_have_none is None else options.may_have_none
        )
        threshold = _NEITHER if self._threshold is None else self._threshold
        answers = rank_answers(
            windows,
            context,
            count=options.top_k,
            most_tokens=options.most_tokens,
            threshold=threshold if may_have_none else None,
        )
        return [FoundAnswer(math.exp(score), start, end, context[start:end]) for start, end, score in answers]

    def _read(self, windows: Sequence[Window]) -> list[AskedWindow]:
        logits = self._encoder.logits(self._tokenizer.pad([window.tokens for window in windows]))
        return [
            AskedWindow(window.spans, np.asarray(row[window.places]))
            for window, row in zip(windows, logits, strict=True)
        ]
