"""A tagger as it is served: on text, split into words as its data are."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from app.domain.documents.events import Message
from app.domain.word_splitting import RECORD, WordSplitter
from app.inference.predictors.opening import open_predictor
from app.inference.predictors.predictor import Run
from app.inference.predictors.tagger import Tagger, TaggingOptions
from tests.tiny import tiny_model_folder
from tests.worker.requests import Shelf, fetch_model, run_here
from worker.evaluation.served_tagging import ServedQuality, served_warning
from worker.runner.protocol import Succeeded

PEOPLE, CITIES = ["李丽", "王芳", "张伟"], ["上海", "北京", "广州"]
VERBS = ["去了", "在", "喜欢", "离开"]


def chinese_rows(count: int) -> list[dict[str, list[str]]]:
    """Somebody somewhere, in characters; who and where change places, so that words alone tell the kind."""
    draw, rows = random.Random(0), []
    for _ in range(count):
        named = [(draw.choice(PEOPLE), "PER"), (draw.choice(CITIES), "LOC")]
        draw.shuffle(named)
        (first, kind), (second, other) = named
        parts = [(first, [f"B-{kind}", f"I-{kind}"]), (verb := draw.choice(VERBS), ["O"] * len(verb))]
        parts += [(second, [f"B-{other}", f"I-{other}"]), ("。", ["O"])]
        rows.append(
            {
                "tokens": [char for text, _ in parts for char in text],
                "tags": [tag for _, tags in parts for tag in tags],
            }
        )
    return rows


def tokenizer_of(rows: list[dict[str, list[str]]]) -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = dict.fromkeys([*special, *(char for row in rows for char in row["tokens"])])
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def test_a_sentence_of_characters_is_read_as_its_data(tmp_path: Path) -> None:
    shelf, rows = Shelf(tmp_path), chinese_rows(192)
    paths: dict[Any, Path] = {"train": tmp_path / "train.jsonl", "dev": tmp_path / "dev.jsonl"}
    paths["train"].write_text("\n".join(map(json.dumps, rows)))
    paths["dev"].write_text("\n".join(map(json.dumps, rows[:32])))
    paths["unlabeled"] = tmp_path / "unlabeled.jsonl"
    paths["unlabeled"].write_text(json.dumps({"text": "李丽去了上海"}))
    dataset = shelf.add_files(paths, task="token_classification")
    encoder = shelf.add_model(tiny_model_folder(tmp_path / "encoder", tokenizer=tokenizer_of(rows)))
    training = {"epochs": 5, "learning_rate": 1e-2, "batch_size": 16}
    request = shelf.request(encoder, dataset, "fine_tuning", training=training, exports=["fp32"])
    outcome, events = run_here(request, tmp_path / "work")
    assert isinstance(outcome, Succeeded), outcome
    dev = outcome.report.student.quality["dev"]
    assert dev["served_f1"] == pytest.approx(dev["f1"]) == pytest.approx(1)
    assert not [event for event in events if isinstance(event, Message) and event.level == "warning"]

    folder = fetch_model(shelf, outcome.manifest, tmp_path / "student")
    assert WordSplitter.from_json((folder / RECORD).read_bytes()).characters == {"east_asian"}
    tagger = open_predictor(outcome.manifest, "fp32", fetch=lambda name: folder / name, threads=1)
    assert isinstance(tagger, Tagger)
    options = TaggingOptions()
    reading = tagger.run_options([], options)
    [row] = tagger.run(Run(tagger.encode(["李丽去了上海"], reading), reading, is_wanted=lambda _: True))
    found = tagger.result(row, options)
    assert [entity[:1] + entity[2:] for entity in found.entities] == [  # type: ignore[union-attr]
        ("PER", "李丽", 0, 2),
        ("LOC", "上海", 4, 6),
    ]


def test_a_loss_of_more_than_a_point_is_told() -> None:
    assert served_warning(ServedQuality(running_text=0.72, given_words=0.729)) is None
    warning = served_warning(ServedQuality(running_text=0.72, given_words=0.738))
    assert warning is not None
    assert "0.720" in warning
    assert "0.738" in warning
