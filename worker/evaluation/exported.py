"""The ONNX files of a model on whole splits, run as they are served.

Shapes: P positions of the split, B rows and T tokens of a batch, C outputs, V vocabulary.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from app.engine.encoder import OnnxEncoder
from app.engine.encoder_decoder import OnnxEncoderDecoder
from app.engine.generation import FloatArray, greedy_search
from worker.contracts import IntArray, TokenizedSplit
from worker.data.batches import collate, padded_inputs, padded_positions
from worker.evaluation.evaluate import by_length

_CPU = torch.device("cpu")


class ExportedModel(Protocol):
    """A model that runs what it is fed, be it one file or two."""

    def logits(self, split: TokenizedSplit, *, pad_id: int, batch_size: int = 64) -> FloatArray:
        """Logits at every position in the split's order, (P, C)."""

    def feed(self, split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, Any]:
        """What ``run`` takes for some rows."""

    def run(self, feed: dict[str, Any]) -> object:
        """One batch, as it is served."""


class ExportedEncoder:
    """A file that answers in one pass."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._encoder = OnnxEncoder(path, threads=threads)

    def logits(self, split: TokenizedSplit, *, pad_id: int, batch_size: int = 64) -> FloatArray:
        def run(rows: IntArray) -> FloatArray:
            logits = self.run(self.feed(split, rows, pad_id=pad_id))
            return logits if split.positions is None else logits[padded_positions(split, rows)]

        return by_length(run, split, batch_size=batch_size)

    def feed(self, split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, IntArray]:
        """Int64 arrays (B, T)."""
        return padded_inputs(split, rows, pad_id=pad_id)

    def run(self, feed: Mapping[str, IntArray]) -> FloatArray:
        """Logits of one padded batch: (B, C), or (B, T, C) of a network that answers for tokens."""
        return self._encoder.logits(feed)


class ExportedTranslator:
    """The files of an encoder and a decoder."""

    def __init__(self, network: OnnxEncoderDecoder) -> None:
        self.network = network

    def logits(self, split: TokenizedSplit, *, pad_id: int, batch_size: int = 64) -> FloatArray:
        """Of each word of the targets when those before it are given, in the split's order, (P, V)."""

        def run(rows: IntArray) -> FloatArray:
            batch = collate(split, rows, pad_id=pad_id, device=_CPU)
            assert batch.positions is not None
            step = self.network.begin(padded_inputs(split, rows, pad_id=pad_id))
            read = batch.inputs["decoder_input_ids"].numpy()
            steps = [step(tokens, np.arange(len(rows))) for tokens in read.T]
            asked: FloatArray = np.stack(steps, axis=1)[batch.positions.numpy()]
            return asked

        return by_length(run, split, batch_size=batch_size)

    def feed(self, split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, Any]:
        assert split.targets is not None
        inputs = padded_inputs(split, rows, pad_id=pad_id)
        return {"inputs": inputs, "limits": split.targets.lengths[rows].tolist()}

    def run(self, feed: dict[str, Any]) -> None:
        """Write as many words as the targets have, whatever they are: time is to depend on no weights."""
        special = self.network.special
        step = self.network.begin(feed["inputs"])

        def endless(tokens: IntArray, parents: IntArray) -> FloatArray:
            logits = step(tokens, parents)
            logits[:, special.end] = -np.inf
            return logits

        greedy_search(endless, feed["limits"], special, is_wanted=lambda _: True)
