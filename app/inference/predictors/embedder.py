"""Models that answer with a vector for a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextTokenizer, TokenizedText
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import Vector

_LIMITS = RunLimits()

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """How vectors are given."""

    dimensions: int | None = None
    """The first so many, at length 1; None: all, as the model gives them."""
    normalize: bool = False
    """Whether vectors are brought to length 1, whatever the model does."""


class Embedder:
    """The vector that the graph gives: pooled, projected and normalised as the model's folder says."""

    def __init__(self, encoder: OnnxEncoder, tokenizer: TextTokenizer, *, dimensions: int) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._dimensions = dimensions

    def run_options(self, _inputs: Sequence[str], options: EmbeddingOptions) -> None:
        """Raises ``InvalidArgument`` where more dimensions are asked for than there are."""
        if options.dimensions is not None and options.dimensions > self._dimensions:
            raise InvalidArgument(
                "too_many_dimensions",
                f"The model's vectors have {self._dimensions} dimensions; {options.dimensions} were "
                "requested. Request at most that.",
                argument="dimensions",
                largest=self._dimensions,
            )

    def limits(self, _run_options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[str], _run_options: None) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, None]) -> list[tuple[Values, int]]:
        """The vector of each text, (D,), and its tokens."""
        vectors = self._encoder.logits(self._tokenizer.pad(run.texts))
        return list(zip(vectors, map(len, run.texts), strict=True))

    def result(self, row: tuple[Values, int], options: EmbeddingOptions) -> Vector:
        vector, tokens = row
        values = vector[: options.dimensions]
        if options.normalize or options.dimensions is not None:
            values = values / max(float(np.linalg.norm(values)), 1e-12)
        return Vector(values, tokens)
