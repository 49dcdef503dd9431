"""Models that say one thing of a text or a pair: its label, or a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, NamedTuple

from app.domain.tasks.record import Activation
from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextInput, TextTokenizer, TokenizedText
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import LabelScore, Number, RankedLabels
from app.inference.predictors.scores import SCORE_FUNCTIONS, ScoreFunction, softmax

_LIMITS = RunLimits()
_BY_SCORE = attrgetter("score")


@dataclass(frozen=True, slots=True)
class ClassificationOptions:
    """How labels are given."""

    top_k: int | None = None
    """Labels of each answer; None: all."""
    function: ScoreFunction | None = None
    """What scores are; None: the probabilities that the model learnt."""


@dataclass(frozen=True, slots=True)
class RegressionOptions:
    """How a number is given."""

    function: Literal["sigmoid", "none"] | None = None
    """What it goes through; None: what it did when the model learnt."""


class ScoredText(NamedTuple):
    """What a text has got."""

    scores: list[float]
    """Of each label."""
    confidence: float
    """Probability of the likeliest label, whatever scores are."""
    tokens: int


class Classifier:
    """Probabilities of labels."""

    def __init__(self, encoder: OnnxEncoder, tokenizer: TextTokenizer, labels: Sequence[str]) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._labels = labels

    def run_options(
        self, _inputs: Sequence[TextInput], options: ClassificationOptions
    ) -> ScoreFunction | None:
        return options.function

    def limits(self, _function: ScoreFunction | None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput], _function: ScoreFunction | None) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, ScoreFunction | None]) -> list[ScoredText]:
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))
        probabilities = softmax(logits)
        scores = probabilities if run.options is None else SCORE_FUNCTIONS[run.options](logits)
        columns = scores.tolist(), probabilities.max(axis=1).tolist(), map(len, run.texts)
        return list(map(ScoredText, *columns))

    def result(self, row: ScoredText, options: ClassificationOptions) -> RankedLabels:
        ranked = sorted(map(LabelScore, self._labels, row.scores), key=_BY_SCORE, reverse=True)
        return RankedLabels(ranked[: options.top_k], row.tokens, confidence=row.confidence)


class Regressor:
    """A number: the output, or what its activation makes of it."""

    def __init__(
        self, encoder: OnnxEncoder, tokenizer: TextTokenizer, *, activation: Activation | None = None
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._activation = activation

    def run_options(self, _inputs: Sequence[TextInput], options: RegressionOptions) -> ScoreFunction | None:
        return options.function

    def limits(self, _function: ScoreFunction | None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput], _function: ScoreFunction | None) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, ScoreFunction | None]) -> list[float]:
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))
        function = run.options or self._activation or "none"
        numbers: list[float] = SCORE_FUNCTIONS[function](logits[:, 0]).tolist()
        return numbers

    def result(self, row: float, _options: RegressionOptions) -> Number:
        return Number(row)
