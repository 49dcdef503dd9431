"""Exports that answer in one pass: an encoder with its head."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.engine.padding import IntArray
from app.engine.sessions import open_session


class OnnxEncoder:
    """One ONNX file; may be run from several threads at once."""

    def __init__(self, model: Path, *, threads: int) -> None:
        self._session = open_session(model, threads=threads)
        self._names = [node.name for node in self._session.get_inputs()]
        [self._output] = [node.name for node in self._session.get_outputs()]

    def logits(self, inputs: Mapping[str, IntArray]) -> npt.NDArray[np.float32]:
        """Logits of padded texts.

        Args:
            inputs: int64 (B, T) each, as ``network_inputs`` makes them; what the network does not take is
                left out, and token types that are missing are all of the first type.

        Returns:
            (B, outputs), or (B, T, outputs) where the network answers for each token.
        """
        (logits,) = self._session.run([self._output], {name: _input(inputs, name) for name in self._names})
        return logits  # type: ignore[no-any-return]


def _input(inputs: Mapping[str, IntArray], name: str) -> IntArray:
    if name == "token_type_ids" and name not in inputs:
        return np.zeros_like(inputs["input_ids"])
    return inputs[name]
