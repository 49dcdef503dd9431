"""One loaded model: an ONNX Runtime session and its tokenizer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from app.inference.tokenizing import TextInput, TextTokenizer, TokenizedText


class OnnxClassifier:
    """Texts to probabilities; safe to use from several threads at once."""

    def __init__(self, model: Path, tokenizer: Path, *, max_length: int, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores from whatever else runs here: training, the event loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Both keep memory for every shape of input that was ever seen, and texts come in all shapes.
        options.enable_mem_pattern = False
        options.enable_cpu_mem_arena = False
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._tokenizer = TextTokenizer(tokenizer, max_length=max_length)

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def classify(self, texts: Sequence[TokenizedText]) -> npt.NDArray[np.float64]:
        """Probabilities, (texts, labels)."""
        arrays = self._tokenizer.pad(texts)
        (logits,) = self._session.run(["logits"], {name: arrays[name] for name in self._inputs})
        return _softmax(logits.astype(np.float64))


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return probabilities
