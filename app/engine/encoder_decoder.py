"""Exports that write: an encoder, and a decoder that runs token by token with a cache.

Shapes: R rows being written, S tokens of the longest source, W tokens that each row has, V vocabulary;
L layers, n heads of d numbers of the decoder.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from app.engine.generation import FloatArray, SpecialTokens, Step
from app.engine.padding import IntArray
from app.engine.sessions import open_session


class OnnxEncoderDecoder:
    """Two ONNX files, of the encoder and of a decoder's step; may be run from several threads at once."""

    def __init__(
        self, encoder: Path, decoder: Path, *, special: SpecialTokens, max_tokens: int, threads: int
    ) -> None:
        self.special = special
        self.max_tokens = max_tokens
        self._encoder = open_session(encoder, threads=threads)
        self._decoder = open_session(decoder, threads=threads)

    def begin(self, inputs: Mapping[str, IntArray]) -> Step:
        """Read padded sources: ``input_ids`` and ``attention_mask``, int64 (R, S) each."""
        mask = inputs["attention_mask"]
        (cross,) = self._encoder.run(["cross"], {"input_ids": inputs["input_ids"], "attention_mask": mask})
        return _CachedDecoder(self._decoder, cross, mask)


class _CachedDecoder:
    """The step function of a run: knows what its rows have read and written."""

    def __init__(self, session: ort.InferenceSession, cross: FloatArray, mask: IntArray) -> None:
        self._session = session
        self._cross = _value(cross)  # (L, 2, R, n, S, d)
        self._mask = _value(mask)  # (R, S)
        self._past = _value(cross[:, :, :, :, :0])  # (L, 2, R, n, W, d)
        self._texts = np.arange(len(mask))  # (R,): whose translation a row is

    def __call__(self, tokens: IntArray, parents: IntArray) -> FloatArray:
        """One token more in each row: (R,), (R,) -> logits (R, V)."""
        self._go_on(parents)
        # As values of the runtime: it would copy the cache, the largest of them by far, with every token.
        logits, self._past = self._session.run_with_ort_values(
            ["logits", "present"],
            {
                "input_ids": _value(tokens[:, None]),
                "attention_mask": self._mask,
                "cross": self._cross,
                "past": self._past,
            },
        )
        return logits.numpy()  # type: ignore[no-any-return]

    def _go_on(self, parents: IntArray) -> None:
        if np.array_equal(parents, np.arange(len(self._texts))):
            return
        self._past = _value(self._past.numpy().take(parents, axis=2))
        texts = self._texts[parents]
        # Beams of one text change places all the time, and read the same.
        if not np.array_equal(texts, self._texts):
            self._cross = _value(self._cross.numpy().take(parents, axis=2))
            self._mask = _value(self._mask.numpy()[parents])
            self._texts = texts


def _value(array: FloatArray | IntArray) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
