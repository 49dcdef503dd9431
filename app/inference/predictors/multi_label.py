"""Models that decide of each label by itself whether it applies to a text or a pair."""

from collections.abc import Sequence

import numpy as np

from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextInput, TextTokenizer, TokenizedText
from app.inference.predictors.classifier import ClassificationOptions
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import LabelScore, RankedLabels
from app.inference.predictors.scores import SCORE_FUNCTIONS, ScoreFunction, sigmoid

_LIMITS = RunLimits()
_DEFAULT_THRESHOLD = 0.5
"""Of a model whose thresholds no job has chosen."""


class MultiLabelClassifier:
    """A probability of each label, and whether it reaches the label's threshold."""

    def __init__(
        self,
        encoder: OnnxEncoder,
        tokenizer: TextTokenizer,
        labels: Sequence[str],
        thresholds: Sequence[float] | None,
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._labels = labels
        self._thresholds = np.array(thresholds or [_DEFAULT_THRESHOLD] * len(labels))

    def run_options(
        self, _inputs: Sequence[TextInput], options: ClassificationOptions
    ) -> ScoreFunction | None:
        return options.function

    def limits(self, _function: ScoreFunction | None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput], _function: ScoreFunction | None) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, ScoreFunction | None]) -> list[tuple[list[float], list[bool], int]]:
        """The score of each label, whether its probability reaches its threshold, and the text's tokens."""
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))
        scores = SCORE_FUNCTIONS[run.options or "sigmoid"](logits).tolist()
        passes = (sigmoid(logits) >= self._thresholds).tolist()
        return list(zip(scores, passes, map(len, run.texts), strict=True))

    def result(
        self, row: tuple[list[float], list[bool], int], options: ClassificationOptions
    ) -> RankedLabels:
        scores, passes, tokens = row
        scored = list(map(LabelScore, self._labels, scores, passes))
        return RankedLabels(sorted(scored, key=lambda label: -label.score)[: options.top_k], tokens)
