"""Models that say one thing of a text or a pair: its label, or a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from app.domain.tasks.record import Activation
from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextInput, TextTokenizer, TokenizedText
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import LabelScore, Number, RankedLabels
from app.inference.predictors.scores import sigmoid, softmax

_LIMITS = RunLimits()
_BY_SCORE = attrgetter("score")


@dataclass(frozen=True, slots=True)
class ClassificationOptions:
    """How labels are given."""

    top_k: int | None = None
    """Labels of each answer; None: all."""


class Classifier:
    """Probabilities of labels."""

    def __init__(self, encoder: OnnxEncoder, tokenizer: TextTokenizer, labels: Sequence[str]) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._labels = labels

    def run_options(self, _inputs: Sequence[TextInput], _options: ClassificationOptions) -> None:
        return None

    def limits(self, _run_options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, None]) -> list[list[float]]:
        """The probability of each label."""
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))
        probabilities: list[list[float]] = softmax(logits).tolist()
        return probabilities

    def result(self, row: list[float], options: ClassificationOptions) -> RankedLabels:
        ranked = sorted(map(LabelScore, self._labels, row), key=_BY_SCORE, reverse=True)
        return RankedLabels(ranked[: options.top_k])


class Regressor:
    """A number: the output, or what its activation makes of it."""

    def __init__(
        self, encoder: OnnxEncoder, tokenizer: TextTokenizer, *, activation: Activation | None = None
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._activation = activation

    def run_options(self, _inputs: Sequence[TextInput], _options: None) -> None:
        return None

    def limits(self, _run_options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, None]) -> list[float]:
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))
        outputs = logits[:, 0] if self._activation is None else sigmoid(logits[:, 0])
        numbers: list[float] = outputs.tolist()
        return numbers

    def result(self, row: float, _options: None) -> Number:
        return Number(row)
