"""What all peers run: tokenise a batch, run it in ONNX Runtime, softmax. As the bare loop does."""

import os

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

LABELS = ["negative", "positive"]
MAX_LENGTH = 512
BATCH = 32
BATCH_WAIT_S = 0.002


class OnnxClassifier:
    """Of the file and tokenizer that the environment names."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(os.environ["PEER_TOKENIZER"])
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()
        self._session = ort.InferenceSession(os.environ["PEER_MODEL"], providers=["CPUExecutionProvider"])
        self._names = [node.name for node in self._session.get_inputs()]

    def __call__(self, texts: list[str]) -> list[dict[str, object]]:
        encodings = self._tokenizer.encode_batch(list(texts))
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        feed = {name: np.array(columns[name], np.int64) for name in self._names}
        [logits] = self._session.run(None, feed)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores = odds / odds.sum(axis=-1, keepdims=True)
        return [{"label": LABELS[row.argmax()], "score": float(row.max())} for row in scores]
