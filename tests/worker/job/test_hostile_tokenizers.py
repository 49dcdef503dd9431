"""An odd tokenizer is refused when its model is uploaded, or a job that trains with it ends in order."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import InvalidRequest
from tests.tiny import tiny_model_folder, tiny_tokenizer
from tests.worker.requests import Shelf, run_here
from worker.runner.protocol import Failed, Succeeded

Spoil = Callable[[dict[str, Any]], None]


def added(content: str, id_: int, **options: bool) -> dict[str, Any]:
    traits = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    return {"id": id_, "content": content, **traits, **options}


def rename(tokenizer: dict[str, Any], names: dict[str, str]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    for old, new in names.items():
        vocabulary[new] = vocabulary.pop(old)


def odd_words(tokenizer: dict[str, Any]) -> None:
    """Words of the vocabulary that no text of the data has."""
    rename(tokenizer, {"a": "", "b": "\n", "c": "\0", "d": "\u202e", "##a": "##", "e": " ", "f": "x" * 400})


def odd_added_tokens(tokenizer: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    odd = ["\n", "\0", " ", "\u202e\u200d", "the", "e", "[MASK] [MASK]", "\U0010ffff"]
    for content, word in zip(odd, "zyxwvuts", strict=True):
        if content not in vocabulary:
            rename(tokenizer, {word: content})
        strips = content == " "
        tokenizer["added_tokens"].append(added(content, vocabulary[content], lstrip=strips, rstrip=strips))


def deletes_everything(tokenizer: dict[str, Any]) -> None:
    steps = [
        {"type": "Replace", "pattern": {"String": letter}, "content": ""} for letter in string.ascii_lowercase
    ]
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}


def all_special(tokenizer: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["added_tokens"] = [
        added(token, id_, special=True) for token, id_ in vocabulary.items() if token
    ]


def with_tokenizer(folder: Path, spoil: Spoil) -> Path:
    tiny_model_folder(folder)
    spoilt = json.loads(tiny_tokenizer().to_str())
    spoil(spoilt)
    (folder / "tokenizer.json").write_text(json.dumps(spoilt))
    return folder


@pytest.mark.parametrize("spoil", [odd_words, deletes_everything, all_special])
def test_a_job_ends_in_order(tmp_path: Path, spoil: Spoil) -> None:
    shelf = Shelf(tmp_path)
    teacher = shelf.add_model(with_tokenizer(tmp_path / "encoder", spoil))
    dataset = shelf.add_dataset(train=32, dev=16, test=16)
    request = shelf.request(teacher, dataset, "fine_tuning", training={"epochs": 1}, exports=["fp32"])
    outcome, _ = run_here(request, tmp_path / "work")
    assert isinstance(outcome, Succeeded | Failed), outcome
    assert isinstance(outcome, Succeeded) or outcome.code != "internal_error", outcome


def test_added_tokens_that_the_library_panics_at_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Shelf(tmp_path).add_model(with_tokenizer(tmp_path / "encoder", odd_added_tokens))
    assert refused.value.code == "invalid_tokenizer"
