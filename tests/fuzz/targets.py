"""What is fuzzed: functions of bytes, out of which nothing but a documented error may come."""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.domain.errors import InvalidRequest, TooLarge
from app.domain.tasks import TASKS
from app.inference.predictors.errors import InvalidArgument
from app.inference.protocols.huggingface.schemas import Comparison, PredictRequest
from app.inference.protocols.kserve.schemas import InferRequest
from app.inference.protocols.kserve.tensors import read_texts, split_body
from app.inference.protocols.parameters import read_parameters
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import Table
from app.intake.datasets.tables import prepare as prepare_tables
from app.intake.models.archives import unpack
from app.intake.models.heads import FoundHead
from app.intake.models.layouts import find_model
from app.intake.models.model_config import ModelConfig, read_config
from app.intake.models.model_files import is_model_file
from app.intake.models.sentencepiece import UnreadableModelError, parse_sentencepiece
from app.intake.models.stored_weights import StoredWeights
from app.intake.models.task import read_task, task_keys
from app.intake.models.tokenizer import lowercases, read_tokenizers

Target = Callable[[bytes], None]

DOCUMENTED = (InvalidRequest, TooLarge)
_MAX_BYTES = 4 * 2**20
_MEMORY = Path("/dev/shm")
_FORMATS = (".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".json", ".txt", ".conll", ".zip", ".tar.gz")
_HEADS = (
    None,
    FoundHead("text", 1, {}, {}),
    FoundHead("text", 2, {}, {}),
    FoundHead("token", 3, {}, {}),
    FoundHead("word", 400, {}, {}),
)
_SOUND_CONFIG = {
    "model_type": "bert",
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None)


@cache
def sound_config() -> ModelConfig:
    return read_config(dict(_SOUND_CONFIG))


def archives(content: bytes) -> None:
    # A file and no bytes in memory: the two refuse odd places differently.
    with folder() as made, tempfile.TemporaryFile() as file, suppress(*DOCUMENTED):
        file.write(content)
        left_out = unpack(file, Path(made), keeps=is_model_file, max_bytes=_MAX_BYTES)
        assert all(is_model_file(path.name) for path in Path(made).rglob("*") if path.is_file())
        assert find_model(Path(made), left_out).folder.is_relative_to(made)


def weights(content: bytes) -> None:
    with folder() as made, suppress(*DOCUMENTED):
        path = Path(made) / "model.safetensors"
        path.write_bytes(content)
        stored = StoredWeights(path)
        stored.require_finite()
        for name in stored.shapes:
            assert stored.equal(name, name)


def configs(content: bytes) -> None:
    """The first byte chooses the head that the weights have."""
    value = _parsed(content[1:])
    if not isinstance(value, dict):
        return
    with suppress(*DOCUMENTED):
        config = read_config(value)
        purpose = read_task(config, _HEADS[content[0] % len(_HEADS)])
        json.dumps(config.kept | task_keys(config.architecture, purpose), ensure_ascii=False).encode()


def tokenizers(content: bytes) -> None:
    with folder() as made, suppress(*DOCUMENTED):
        (Path(made) / "tokenizer.json").write_bytes(content)
        read = read_tokenizers(Path(made), sound_config(), "text_classification")
        lowercases(read.files["tokenizer.json"])
        read.files["tokenizer.json"].encode()


def word_lists(content: bytes) -> None:
    with folder() as made, suppress(*DOCUMENTED):
        (Path(made) / "vocab.txt").write_bytes(content)
        read_tokenizers(Path(made), sound_config(), "masked_language_modeling")


def sentencepiece(content: bytes) -> None:
    with suppress(UnreadableModelError):
        parse_sentencepiece(content)


def tables(content: bytes) -> None:
    """The first byte chooses the task, the second the format."""
    if len(content) > 1:
        _table(content[0], _FORMATS[content[1] % len(_FORMATS)], content[2:])


def json_tables(content: bytes) -> None:
    """The first byte chooses the task."""
    if content:
        _table(content[0], ".json", content[1:])


def arrow(content: bytes) -> None:
    """As ``parquet``. What is too much for memory ends the process of an upload, and is answered so."""
    if content:
        with suppress(MemoryError):
            _table(content[0], ".arrow", content[1:])


def parquet(content: bytes) -> None:
    """The first byte chooses the task. What the library does to its process ends the process that fuzzes."""
    if content:
        _table(content[0], ".parquet", content[1:])


def _table(task_number: int, suffix: str, content: bytes) -> None:
    with folder() as made, tempfile.TemporaryFile() as file, suppress(*DOCUMENTED):
        file.write(content)
        prepared = prepare_tables(
            {"train": Table(file, f"train{suffix}")},
            Path(made),
            task=sorted(TASKS)[task_number % len(TASKS)],
            columns=ColumnNames(),
            labels=None,
            max_rows=10_000,
            max_bytes=_MAX_BYTES,
        )
        json.dumps([prepared.labels, prepared.splits["train"].model_dump(mode="json")])


def predictions(content: bytes) -> None:
    with suppress(ValidationError, RequestValidationError, InvalidArgument, *DOCUMENTED):
        asked = PredictRequest.model_validate_json(content)
        for task in TASKS:
            with suppress(ValidationError, RequestValidationError, InvalidArgument, *DOCUMENTED):
                read_parameters(task, asked.parameters).options()
        inputs = asked.inputs
        texts = [inputs.source, *inputs.others] if isinstance(inputs, Comparison) else inputs.texts
        for text in texts:
            (text if isinstance(text, str) else "".join(text)).encode()


def tensors(content: bytes) -> None:
    """The first byte says how many at the end are no JSON."""
    if content:
        body, length = content[1:], max(0, len(content) - 1 - content[0])
        with suppress(ValidationError, RequestValidationError, *DOCUMENTED):
            header, rest = split_body(body, str(length))
            for texts in read_texts(InferRequest.model_validate_json(header).inputs, rest).values():
                "".join(texts).encode()


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        archives,
        weights,
        configs,
        tokenizers,
        word_lists,
        sentencepiece,
        tables,
        json_tables,
        parquet,
        arrow,
        predictions,
        tensors,
    )
}
OF_JSON = {"configs": 1, "tokenizers": 0, "predictions": 0, "json_tables": 1, "tensors": 1}
"""Targets that read JSON, and the bytes before it."""
