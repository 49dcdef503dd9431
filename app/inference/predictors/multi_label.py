"""Models that decide of each label by itself whether it applies to a text or a pair."""

from collections.abc import Sequence

from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextInput, TextTokenizer, TokenizedText
from app.inference.predictors.classifier import ClassificationOptions
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import LabelScore, RankedLabels
from app.inference.predictors.scores import sigmoid

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
        self._thresholds = thresholds or [_DEFAULT_THRESHOLD] * len(labels)

    def run_options(self, _inputs: Sequence[TextInput], _options: ClassificationOptions) -> None:
        return None

    def limits(self, _run_options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, None]) -> list[list[float]]:
        """The probability of each label."""
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))
        probabilities: list[list[float]] = sigmoid(logits).tolist()
        return probabilities

    def result(self, row: list[float], options: ClassificationOptions) -> RankedLabels:
        scored = [
            LabelScore(label, score, score >= threshold)
            for label, score, threshold in zip(self._labels, row, self._thresholds, strict=True)
        ]
        return RankedLabels(sorted(scored, key=lambda label: -label.score)[: options.top_k])
