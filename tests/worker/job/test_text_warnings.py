"""What a job says of its texts before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from app.domain.documents.events import Message
from app.domain.errors import JobError
from tests.tiny import tiny_examples, tiny_model_folder, tiny_tokenizer
from tests.worker.requests import Shelf, run_here
from worker.contracts import ModelTokenizers
from worker.runner.protocol import DatasetRef, Succeeded
from worker.tasks.reading import load_task_data

ROWS = tiny_examples(64)
TEXTS = [{"text": "a fine film"}] * 8
TAGGED = [{"tokens": ["a", "film"], "tags": ["O", "B-x"]}] * 8
CYRILLIC = [{"text": "прекрасный фильм", "label": row["label"]} for row in ROWS]


def add(shelf: Shelf, task: Any = "text_classification", **splits: list[dict[str, Any]]) -> DatasetRef:
    paths = {}
    for name, rows in splits.items():
        paths[name] = shelf.root / f"{name}.jsonl"
        paths[name].write_text("\n".join(map(json.dumps, rows)))
    return shelf.add_files(paths, task=task)  # type: ignore[arg-type]


def warnings_of(shelf: Shelf, dataset: DatasetRef, **training: Any) -> list[str]:
    encoder = shelf.add_model(tiny_model_folder(shelf.root / "encoder"))
    request = shelf.request(
        encoder, dataset, "fine_tuning", training={"epochs": 1, **training}, exports=["fp32"]
    )
    outcome, events = run_here(request, shelf.root / "work")
    assert isinstance(outcome, Succeeded), outcome
    told = [event.text for event in events if isinstance(event, Message) and event.level == "warning"]
    return [text for text in told if "learned nothing" not in text]  # which one epoch is likely to be told


def test_unknown_words_are_told_of_every_split(tmp_path: Path) -> None:
    unlabeled = [{"text": row["text"]} for row in CYRILLIC]
    found = warnings_of(Shelf(tmp_path), add(Shelf(tmp_path), train=ROWS, dev=CYRILLIC, unlabeled=unlabeled))
    assert len(found) == 2
    for name, text in zip(["dev", "unlabeled"], found, strict=True):
        assert f"100% of the tokens in the texts of {name}" in text


def test_cut_rows_are_told_of(tmp_path: Path) -> None:
    short = [{"text": " ".join(row["text"].split()[:2]), "label": row["label"]} for row in ROWS]
    shelf = Shelf(tmp_path)
    [text] = warnings_of(shelf, add(shelf, train=ROWS, dev=short), max_length=10)
    assert "rows of train are longer than 10 tokens" in text
    assert "supports up to 64" in text


def words_only(tokens: list[str]) -> Tokenizer:
    return Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))


@pytest.mark.parametrize(
    ("task", "rows", "tokenizer", "code"),
    [
        (
            "masked_language_modeling",
            [{"text": "a fine film"}] * 8,
            words_only(["[UNK]", "[PAD]"]),
            "missing_mask_token",
        ),
        ("masked_language_modeling", [{"text": "\ufffd"}], tiny_tokenizer(), "no_trainable_tokens"),
        (
            "token_classification",
            [{"tokens": ["\ufffd"], "tags": ["B-x"]}] * 8,
            tiny_tokenizer(),
            "no_trainable_tokens",
        ),
    ],
)
def test_what_cannot_be_asked_is_an_error_that_says_so(
    tmp_path: Path, task: Any, rows: list[dict[str, Any]], tokenizer: Tokenizer, code: str
) -> None:
    fine = TAGGED if "tokens" in rows[0] else TEXTS
    dataset = add(Shelf(tmp_path), task, train=fine, dev=rows)
    folder = tmp_path / "dataset"
    for name in dataset.manifest.files.entries:
        Shelf(tmp_path).storage.fetch(f"{dataset.manifest.files.prefix}/{name}", folder / name)
    tokenizers = ModelTokenizers(tokenizer, tokenizer, vocabulary=tokenizer.get_vocab_size(), token_types=2)
    with pytest.raises(JobError) as caught:
        load_task_data(folder, dataset.manifest, tokenizers=tokenizers, max_length=16)
    assert caught.value.code == code
