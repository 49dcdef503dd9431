"""ONNX files as this service runs them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from app.engine.tokenizing import TextTokenizer, TokenizedText


def open_session(model: Path, *, threads: int) -> ort.InferenceSession:
    """Load one ONNX file; the session may be used from several threads at once."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the cores from whatever else runs here: training, the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Both keep memory for every shape of input that was ever seen, and texts come in all shapes.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxNetwork:
    """A network that answers in one pass."""

    def __init__(self, model: Path, tokenizer: TextTokenizer, *, threads: int) -> None:
        self.tokenizer = tokenizer
        self._session = open_session(model, threads=threads)
        self._inputs = [node.name for node in self._session.get_inputs()]

    def logits(self, texts: Sequence[TokenizedText]) -> npt.NDArray[np.float32]:
        """(texts, outputs), or (texts, longest, outputs) where it answers for each token."""
        arrays = self.tokenizer.pad(texts)
        (logits,) = self._session.run(["logits"], {name: arrays[name] for name in self._inputs})
        return logits  # type: ignore[no-any-return]
