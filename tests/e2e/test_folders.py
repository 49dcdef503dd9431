"""Folders as people have them, through a job: served, and taken away, they are what transformers reads."""

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from tests.e2e.conftest import Json, Stack
from tests.tiny import tiny_model_folder, zipped
from tests.worker.job.test_served_tagging import chinese_rows, tokenizer_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("service", ["production"], indirect=True),
    pytest.mark.filterwarnings("ignore"),
]

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyzéïABN"
WORDS = [
    "a",
    "good",
    "bad",
    "film",
    "café",
    "cafe",
    "naïve",
    "naive",
    "Bad",
    "Naïve",
    "covid",
    "\u2028",
    "x\x0b",
]
TEXTS = ["a good film", "A Café, bad & Naïve!", "x\x0b covid\u2028good", "Naïve naive NAIVE"]
PAIRS = [(text, "a bad café") for text in TEXTS]


def bert_folder(path: Path, *, lines: str = "\n", labels: int = 2, **settings: Any) -> Path:
    """A random network, whose answers differ, with a word list and a ``tokenizer_config.json``."""
    import transformers

    tokens = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS[1:]]
    config = transformers.BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
        id2label={0: "neg", 1: "pos"} if labels == 2 else {0: "LABEL_0"},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(path)
    (path / "vocab.txt").write_bytes("".join(token + lines for token in tokens).encode())
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"} | settings))
    return path


def packed_on_windows(folder: Path) -> Path:
    archive = folder.with_name("windows.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.iterdir():
            info = zipfile.ZipInfo("x")
            info.filename = f"bert\\{path.name}"
            file.writestr(info, path.read_bytes())
    return archive


MAKERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Path]]] = {
    "odd lines, accents, backslashes": (
        lambda path: bert_folder(path, lines="\r\n", do_lower_case=True, strip_accents=False),
        packed_on_windows,
    ),
    "cased": (lambda path: bert_folder(path, do_lower_case=False), zipped),
    "one output": (lambda path: bert_folder(path, labels=1, do_lower_case=True), zipped),
}


class Original:
    """A folder as transformers reads it."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.network = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def logits(self, text: Any) -> np.ndarray:
        import torch

        texts = text if isinstance(text, tuple) else (text,)
        with torch.no_grad():
            return self.network(**self.tokenizer(*texts, return_tensors="pt")).logits[0].numpy()


def probabilities(logits: np.ndarray) -> np.ndarray:
    """One output goes through a sigmoid, as in the pipeline of transformers."""
    if len(logits) == 1:
        return 1 / (1 + np.exp(-logits))
    exponents = np.exp(logits - logits.max())
    return exponents / exponents.sum()


def row_of(text: Any) -> Json:
    return {"text": text[0], "text_pair": text[1]} if isinstance(text, tuple) else {"text": text}


def balance(folder: Path, texts: list[Any]) -> None:
    """Have the network choose each label for half of the texts: a job refuses one that knows no better."""
    original = Original(folder)
    logits = np.array([original.logits(text) for text in texts])
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.bias"] -= load_as(
        np.median(logits - logits[:, :1], axis=0), tensors["classifier.bias"]
    )
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load_as(values: np.ndarray, like: Any) -> Any:
    return like.new_tensor(values)


def served(stack: Stack, model: str, text: Any, names: list[str] | None) -> np.ndarray:
    parameters = {"precision": "fp32"} | ({"top_k": None} if names else {})
    response = stack.predict({"id": model}, row_of(text) if isinstance(text, tuple) else text, **parameters)
    assert response.is_success, response.text
    [found] = response.json()
    by_label = {entry["label"]: entry["score"] for entry in found}
    return np.array([by_label[name] for name in names or ["score"]])


def taken_away(stack: Stack, model: Json, folder: Path) -> Path:
    for name in model["manifest"]["files"]["entries"]:
        response = stack.http.get(f"/v1/models/{model['id']}/artifacts/{name}").raise_for_status()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(response.content)
    return folder


def start(stack: Stack, name: str, folder: Path) -> tuple[Json, Json, Path]:
    """A model and the job that copies it, on what the model itself says of texts."""
    make, pack = MAKERS[name]
    make(folder)
    draw = random.Random(0)
    texts: list[Any] = ["a " + " ".join(draw.choices([*WORDS, *TEXTS], k=4)) for _ in range(96)]
    if name == "one output":
        texts = list(zip(texts, reversed(texts), strict=True))
    else:
        balance(folder, texts)
    with pack(folder).open("rb") as file:
        model = stack.post("/v1/models", data={"name": "m"}, files={"file": ("m.zip", file)})
    original = Original(folder)
    rows = []
    for text in texts:
        answer = probabilities(original.logits(text))
        told = (
            {"score": float(answer[0])} if len(answer) == 1 else {"label": model["labels"][answer.argmax()]}
        )
        rows.append(json.dumps(row_of(text) | told) + "\n")
    task = "text_regression" if name == "one output" else "text_classification"
    data = stack.upload_dataset(task, {"train": "".join(rows).encode(), "dev": "".join(rows[:48]).encode()})
    training = {"epochs": 1}
    job = stack.start_job(
        model, data, "weight_copy", target={"compression_ratio": 1.5}, training=training, exports=["fp32"]
    )
    return model, job, folder


def test_they_are_served_and_taken_away(service: Stack, tmp_path: Path) -> None:
    import onnxruntime
    import transformers

    service.have_workers(2)
    started = {name: start(service, name, tmp_path / f"case{n}" / "bert") for n, name in enumerate(MAKERS)}
    for name, (model, started_job, folder) in started.items():
        job = service.wait_for_end(started_job)
        assert (job["status"], job["error"]) == ("succeeded", None), (name, service.logs())
        original = Original(folder)
        student = service.get(f"/v1/models/{job['student']}")
        taken = taken_away(service, student, folder.with_name("student"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(taken)
        session = onnxruntime.InferenceSession(taken / student["manifest"]["exports"]["fp32"]["file"])
        inputs = {entry.name for entry in session.get_inputs()}
        for text in PAIRS if name == "one output" else TEXTS:
            expected = probabilities(original.logits(text))
            assert served(service, model["id"], text, model["labels"]) == pytest.approx(expected, abs=1e-4), (
                name
            )
            encoded = tokenizer(*(text if isinstance(text, tuple) else (text,)), return_tensors="np")
            theirs = original.tokenizer(*(text if isinstance(text, tuple) else (text,)))
            assert encoded["input_ids"][0].tolist() == theirs["input_ids"], (name, text)
            fed = {key: value.astype(np.int64) for key, value in encoded.items() if key in inputs}
            again = probabilities(session.run(None, fed)[0][0])
            assert served(service, student["id"], text, model["labels"]) == pytest.approx(again, abs=1e-4), (
                name
            )


def byte_pairs(texts: list[str]) -> Tokenizer:
    """As RoBERTa has them: without a space before the first word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return tokenizer


def english_rows(count: int) -> list[Json]:
    draw, rows = random.Random(0), []
    for _ in range(count):
        who, where = draw.choice(["Ada", "Bob", "Grace"]), draw.choice(["Oslo", "Rome", "Paris"])
        if draw.random() < 0.5:
            rows.append({"tokens": [who, "is", "in", where], "tags": ["B-PER", "O", "O", "B-LOC"]})
        else:
            rows.append({"tokens": ["In", where, "is", who], "tags": ["O", "B-LOC", "O", "B-PER"]})
    return rows


def test_entities_in_a_sentence_as_clients_send_it(service: Stack, tmp_path: Path) -> None:
    """Of data in characters, and of words that were given one by one to byte pairs without prefix space."""
    service.have_workers(2)
    chinese, english = chinese_rows(160), english_rows(160)
    kinds: list[tuple[str, Tokenizer, list[Any], str, list[tuple[str, str]]]] = [
        ("bert", tokenizer_of(chinese), chinese, "李丽去了上海", [("PER", "李丽"), ("LOC", "上海")]),
        (
            "roberta",
            byte_pairs([" ".join(row["tokens"]) for row in english]),
            english,
            "Ada is in Rome",
            [("PER", "Ada"), ("LOC", "Rome")],
        ),
    ]
    jobs = []
    for family, tokenizer, rows, _, _ in kinds:
        encoder = service.upload_model(
            tiny_model_folder(tmp_path / family, family=family, tokenizer=tokenizer)
        )
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        splits = {"train": "".join(lines).encode(), "dev": "".join(lines[:32]).encode()}
        data = service.upload_dataset("token_classification", splits)
        training = {"epochs": 6, "learning_rate": 1e-2}
        jobs.append(service.start_job(encoder, data, training=training, exports=["fp32"]))
    for (_, _, _, sentence, entities), started_job in zip(kinds, jobs, strict=True):
        job = service.wait_for_end(started_job)
        assert (job["status"], job["error"]) == ("succeeded", None), service.logs()
        dev = job["metrics"]["student"]["quality"]["dev"]
        assert dev["f1"] == dev["served_f1"] == 1
        found = service.predict({"id": job["student"]}, sentence).json()
        assert [(entity["entity_group"], entity["word"]) for entity in found] == entities
        assert all(sentence[entity["start"] : entity["end"]] == entity["word"] for entity in found)
