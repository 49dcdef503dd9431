"""The demo's text."""

import gzip
import json
from collections import Counter
from pathlib import Path

from app.demo.corpus import read_folder, standard_library, write_splits


def test_the_standard_librarys_topics():
    corpus = standard_library()
    train, dev = corpus.splits["train"], corpus.splits["dev"]
    assert corpus == standard_library(), "the same on every run"
    assert 1000 < len(train) <= 5000
    assert len(dev) > 300
    assert not {row["text"] for row in train} & {row["text"] for row in dev}
    for rows in (train, dev):
        balance = Counter(row["label"] for row in rows)
        assert len(balance) == 6
        assert min(balance.values()) > 0.4 * max(balance.values())


def test_a_folder_of_ones_own(tmp_path: Path):
    (tmp_path / "meta.json").write_text('{"labels": ["bad", "good"]}')
    for split in ("train", "dev"):
        with gzip.open(tmp_path / f"{split}.jsonl.gz", "wt") as file:
            file.write('{"text": "fine", "label": 1}\n{"text": "poor", "label": 0}\n')
    corpus = read_folder(tmp_path)
    assert set(corpus.splits) == {"train", "dev"}
    written = write_splits(corpus, tmp_path)
    with gzip.open(written["dev"], "rt") as file:
        assert [json.loads(line) for line in file] == [
            {"text": "fine", "label": "good"},
            {"text": "poor", "label": "bad"},
        ]
