"""Labelled text for the demo: what every Python installation carries, or a folder of one's own."""

import ast
import gzip
import hashlib
import json
import random
import re
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = Mapping[str, str]

# By topic: modules and packages of the standard library whose docstrings speak of it.
_TOPICS = {
    "text": "_strptime codecs csv difflib encodings gettext html json locale pprint re shlex string "
    "textwrap tokenize",
    "network": "ftplib http imaplib ipaddress poplib smtplib socket socketserver ssl urllib webbrowser "
    "wsgiref xmlrpc",
    "concurrency": "_threading_local asyncio concurrent multiprocessing queue sched subprocess threading",
    "files": "_pyio bz2 configparser fileinput glob gzip lzma mailbox os pathlib plistlib posixpath "
    "shelve shutil tarfile tempfile zipfile",
    "numbers": "_pydecimal bisect calendar datetime fractions heapq numbers random statistics zoneinfo",
}
_ROWS_PER_TOPIC = 800
_DEV_SHARE = 0.2
_WORDS = range(6, 41)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PARAGRAPH_END = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Corpus:
    """Labelled texts by split."""

    name: str
    splits: Mapping[str, Sequence[Row]]


def standard_library() -> Corpus:
    """Sentences of docstrings, labelled with their topic; dev has whole modules that train has not."""
    train: list[Row] = []
    dev: list[Row] = []
    for topic, names in _TOPICS.items():
        by_module = {name: _sentences_of(name) for name in names.split()}
        total = sum(len(sentences) for sentences in by_module.values())
        dev_rows: list[Row] = []
        train_rows: list[Row] = []
        for name in sorted(by_module, key=_shuffled):
            has_room = len(dev_rows) + len(by_module[name]) <= _DEV_SHARE * total
            rows = dev_rows if has_room else train_rows
            rows += [{"text": sentence, "label": topic} for sentence in by_module[name]]
        train += _sample(train_rows, _ROWS_PER_TOPIC)
        dev += _sample(dev_rows, int(_ROWS_PER_TOPIC * _DEV_SHARE))
    seen = {row["text"] for row in train}
    return Corpus(
        "docstrings of the standard library",
        {"train": train, "dev": [row for row in dev if row["text"] not in seen]},
    )


def read_folder(folder: Path) -> Corpus:
    """``train``, ``dev`` and, where there is one, ``test`` as .jsonl.gz; meta.json names the labels."""
    labels = json.loads((folder / "meta.json").read_text())["labels"]
    splits = {}
    for split in ("train", "dev", "test"):
        path = folder / f"{split}.jsonl.gz"
        if path.exists():
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                rows = [json.loads(line) for line in lines]
            splits[split] = [row | {"label": labels[row["label"]]} for row in rows]
    return Corpus(folder.resolve().name, splits)


def write_splits(corpus: Corpus, folder: Path) -> dict[str, Path]:
    """One .jsonl.gz a split, ready to be uploaded."""
    paths = {}
    for split, rows in corpus.splits.items():
        paths[split] = folder / f"{split}.jsonl.gz"
        with gzip.open(paths[split], "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return paths


def _sentences_of(module: str) -> list[str]:
    """The sentences in the docstrings of a module or a package, in order, each once; nothing is imported."""
    library = Path(sysconfig.get_path("stdlib"))
    package = library / module
    files = sorted(package.rglob("*.py")) if package.is_dir() else [library / f"{module}.py"]
    sentences: dict[str, None] = {}
    for file in files:
        if file.exists():  # modules come and go between versions of Python
            sentences |= dict.fromkeys(_sentences_in(file.read_text(encoding="utf-8")))
    return list(sentences)


def _sentences_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for paragraph in _PARAGRAPH_END.split(ast.get_docstring(node) or ""):
                for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
                    if len(sentence.split()) in _WORDS and ">>>" not in sentence:
                        yield sentence


def _sample(rows: Sequence[Row], size: int) -> Sequence[Row]:
    return rows if len(rows) <= size else random.Random(0).sample(rows, size)  # noqa: S311


def _shuffled(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
