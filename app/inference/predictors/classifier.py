"""Models that say one thing of a text or a pair: its label, or a number."""

from collections.abc import Sequence
from typing import ClassVar

from app.engine.network import OnnxNetwork
from app.engine.tokenizing import TextInput, TokenizedText
from app.inference.parameters import ClassificationParameters, RegressionParameters
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.scores import softmax
from app.inference.schemas import Score

_LIMITS = RunLimits()
_SCORE = "score"


class Classifier:
    """Probabilities of labels."""

    takes_pairs: ClassVar[bool] = True
    answers_one_alone: ClassVar[bool] = False

    def __init__(self, network: OnnxNetwork, labels: Sequence[str]) -> None:
        self._network = network
        self._labels = labels

    def options(self, _inputs: Sequence[TextInput], _parameters: ClassificationParameters) -> None:
        return None

    def limits(self, _options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return self._network.tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, None]) -> list[list[float]]:
        """The probability of each label."""
        probabilities: list[list[float]] = softmax(self._network.logits(run.texts)).tolist()
        return probabilities

    def answer(self, row: list[float], parameters: ClassificationParameters) -> list[Score]:
        """Labels, best first."""
        ranked = sorted(zip(row, self._labels, strict=True), key=lambda pair: -pair[0])
        return [{"label": label, "score": probability} for probability, label in ranked[: parameters.top_k]]


class Regressor:
    """A number, in the form of a classifier's answer: so do clients of classifiers read it."""

    takes_pairs: ClassVar[bool] = True
    answers_one_alone: ClassVar[bool] = False

    def __init__(self, network: OnnxNetwork) -> None:
        self._network = network

    def options(self, _inputs: Sequence[TextInput], _parameters: RegressionParameters) -> None:
        return None

    def limits(self, _options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return self._network.tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, None]) -> list[float]:
        numbers: list[float] = self._network.logits(run.texts)[:, 0].tolist()
        return numbers

    def answer(self, row: float, _parameters: RegressionParameters) -> list[Score]:
        return [{"label": _SCORE, "score": row}]
