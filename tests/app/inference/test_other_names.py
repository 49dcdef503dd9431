"""A downloaded folder is one that other servers read: what ONNX Runtime says of it is what is served."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from app.core.settings import Settings
from app.domain.tasks import Task
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import LABELS
from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(3)]
NAMES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}


def download(client: httpx.Client, model_id: str, folder: Path) -> Path:
    model = client.get(f"/v1/models/{model_id}").raise_for_status().json()
    for name in model["manifest"]["files"]["entries"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get(f"/v1/models/{model_id}/artifacts/{name}").raise_for_status().content)
    return folder


def outputs(folder: Path, name: str, output: str) -> list[Any]:
    """What a file says of each text: the output that other servers ask for by its name."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(folder / name)
    found = []
    for text in TEXTS:
        encoding = tokenizer.encode(text)
        columns = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
        columns["token_type_ids"] = encoding.type_ids
        given = {name: np.array([values], np.int64) for name, values in columns.items()}
        found.append(session.run([output], given)[0][0])
    return found


@pytest.mark.parametrize("task", ["text_classification", "sentence_embedding"])
def test_other_servers_say_the_same(
    client: httpx.Client, register: Register, tmp_path: Path, settings: Settings, task: Task
) -> None:
    model_id = register(task=task)
    folder = download(client, model_id, tmp_path / "downloaded")
    for precision, name in NAMES.items():
        answers = predict(client, model_id, TEXTS, precision=precision).json()
        if task == "sentence_embedding":
            np.testing.assert_allclose(outputs(folder, name, "sentence_embedding"), answers, atol=1e-5)
            continue
        odds = np.exp(np.array(outputs(folder, name, "logits")))
        expected = [
            [{one["label"]: one["score"] for one in answer}[label] for label in LABELS] for answer in answers
        ]
        np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), expected, atol=1e-5)
        assert (folder / name).read_bytes() == (folder / f"model.{precision}.onnx").read_bytes()
    assert not list((settings.data_dir / "files" / "models" / model_id).rglob("onnx/*")), "stored once"
    sums = client.get(f"/v1/models/{model_id}/SHA256SUMS").text.splitlines()
    for line in sums:
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {line.split("  ")[1] for line in sums} >= set(NAMES.values())


def test_only_what_others_can_read(client: httpx.Client, register: Register) -> None:
    for task in ("question_answering", "translation"):
        answer = client.get(f"/v1/models/{register(task=task)}/artifacts/{NAMES['fp32']}")
        assert answer.status_code == 404
    path = f"/v1/models/{register(exports=('int8',))}/artifacts"
    assert client.get(f"{path}/{NAMES['fp32']}").status_code == 404
    assert client.get(f"{path}/{NAMES['int8']}").status_code == 200
