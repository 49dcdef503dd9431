"""Models that translate: an encoder, a decoder with a cache, and the search between them.

Shapes: R rows being written, S tokens of the longest source, W tokens that each row has, V vocabulary;
L layers, n heads of d numbers of the decoder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from app.domain.errors import InvalidRequest
from app.engine.generation import (
    FloatArray,
    IntArray,
    SpecialTokens,
    beam_search,
    greedy_search,
    length_limit,
)
from app.engine.network import open_session
from app.engine.tokenizing import TextTokenizer, TokenizedText
from app.inference.parameters import TranslationParameters
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.schemas import Translation

_LIMITS = RunLimits(start=128)
"""Where an encoder's batch gains little, a decoder's gains much, for each of its steps reads all weights.

Measured on 6 and 2 layers x 256 with 10,000 words, greedy, 15 tokens a text, fp32 and int8: one takes 20 and
10 ms alone, 3.9 and 2.5 in a batch of 16; starting a run costs what 110 to 160 tokens of padding do.
"""


@dataclass(frozen=True)
class _Writing:
    """How a translation is searched for."""

    beams: int
    length_penalty: float
    max_new_tokens: int | None


class Translator:
    """Texts to their translations."""

    takes_pairs: ClassVar[bool] = False
    answers_one_alone: ClassVar[bool] = False

    def __init__(
        self,
        encoder: Path,
        decoder: Path,
        *,
        config: Path,
        reader: TextTokenizer,
        writer: TextTokenizer,
        threads: int,
    ) -> None:
        self._encoder = open_session(encoder, threads=threads)
        self._decoder = open_session(decoder, threads=threads)
        self._special = _special_tokens(config)
        self._reader = reader
        self._writer = writer

    def options(self, _inputs: Sequence[str], parameters: TranslationParameters) -> _Writing:
        bound, most = parameters.max_new_tokens, self._writer.max_length
        if bound is not None and bound > most:
            raise InvalidRequest(
                "max_new_tokens_too_large",
                f"max_new_tokens is {bound:,}; this model writes at most {most:,}.",
                pointer="#/parameters/max_new_tokens",
                max_new_tokens=bound,
                most=most,
            )
        # A greedy search has no penalty, and texts that differ in nothing else may run together.
        is_greedy = parameters.num_beams == 1
        return _Writing(parameters.num_beams, 1.0 if is_greedy else parameters.length_penalty, bound)

    def limits(self, options: _Writing) -> RunLimits:
        return _LIMITS._replace(most=_LIMITS.most // options.beams)

    def encode(self, texts: Sequence[str]) -> list[TokenizedText]:
        return self._reader.encode(texts)

    def run(self, run: Run[TokenizedText, _Writing]) -> list[str]:
        arrays = self._reader.pad(run.texts)
        mask = arrays["attention_mask"]
        (cross,) = self._encoder.run(["cross"], {"input_ids": arrays["input_ids"], "attention_mask": mask})
        step = _CachedDecoder(self._decoder, cross, mask)
        search = (
            greedy_search
            if run.options.beams == 1
            else partial(beam_search, beams=run.options.beams, length_penalty=run.options.length_penalty)
        )
        limits = [self._limit(text, run.options) for text in run.texts]
        written = search(step, limits, self._special, is_wanted=run.is_wanted)
        return [text.strip() for text in self._writer.decode(written)]

    def answer(self, row: str, _parameters: TranslationParameters) -> Translation:
        return {"translation_text": row}

    def _limit(self, source: TokenizedText, options: _Writing) -> int:
        bound = options.max_new_tokens
        if bound is not None:
            return bound
        return length_limit(len(source), self._writer.max_length)


class _CachedDecoder:
    """The step function of a run: knows what its rows have read and written."""

    def __init__(self, session: ort.InferenceSession, cross: FloatArray, mask: npt.NDArray[np.int64]) -> None:
        self._session = session
        self._cross = cross  # (L, 2, R, n, S, d)
        self._mask = mask  # (R, S)
        self._past = cross[:, :, :, :, :0]  # (L, 2, R, n, W, d)
        self._texts = np.arange(len(mask))  # (R,): whose translation a row is

    def __call__(self, tokens: IntArray, parents: IntArray) -> FloatArray:
        """One token more in each row: (R,), (R,) -> logits (R, V)."""
        self._go_on(parents)
        logits, self._past = self._session.run(
            ["logits", "present"],
            {
                "input_ids": tokens[:, None],
                "attention_mask": self._mask,
                "cross": self._cross,
                "past": self._past,
            },
        )
        return logits  # type: ignore[no-any-return]

    def _go_on(self, parents: IntArray) -> None:
        if np.array_equal(parents, np.arange(len(self._texts))):
            return
        self._past = self._past.take(parents, axis=2)
        texts = self._texts[parents]
        # Beams of one text change places all the time, and read the same.
        if not np.array_equal(texts, self._texts):
            self._cross, self._mask = self._cross.take(parents, axis=2), self._mask[parents]
            self._texts = texts


def _special_tokens(config: Path) -> SpecialTokens:
    ids = json.loads(config.read_bytes())
    return SpecialTokens(
        start=ids["decoder_start_token_id"], end=ids["eos_token_id"], pad=ids["pad_token_id"]
    )
