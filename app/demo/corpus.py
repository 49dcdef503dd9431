"""Labelled text for the demo: docstrings of the standard library, or a folder."""

import ast
import gzip
import hashlib
import json
import random
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Example = Mapping[str, str]

# By topic: modules and packages of the standard library with docstrings about it.
_TOPICS = {
    "concurrency": "_threading_local asyncio concurrent contextvars multiprocessing queue sched signal "
    "subprocess threading",
    "files": "bz2 dbm filecmp fileinput fnmatch genericpath glob gzip io lzma os pathlib plistlib posixpath "
    "shelve shutil tarfile tempfile zipfile",
    "mail": "email imaplib mailbox mailcap mimetypes nntplib poplib quopri smtplib uu",
    "numbers": "_pydecimal bisect calendar datetime fractions heapq numbers random statistics zoneinfo",
    "testing": "bdb cProfile doctest pdb profile pstats timeit trace traceback tracemalloc unittest warnings",
    "web": "cgi cgitb ftplib html http ipaddress socket socketserver ssl urllib webbrowser wsgiref xmlrpc",
}
_ROWS_PER_TOPIC = 450
_DEV_SHARE = 0.2
_FEWEST_WORDS = 8
_MOST_WORDS = 60


@dataclass(frozen=True)
class Corpus:
    """Labelled texts by split."""

    name: str
    splits: Mapping[str, Sequence[Example]]


def standard_library() -> Corpus:
    """Docstrings labelled with their topic. No module is in both splits."""
    train: list[Example] = []
    dev: list[Example] = []
    for topic, names in _TOPICS.items():
        by_file = {file: _docstrings(file) for name in names.split() for file in _sources(name)}
        room = _DEV_SHARE * sum(len(texts) for texts in by_file.values())
        dev_texts: list[str] = []
        train_texts: list[str] = []
        for file in sorted(by_file, key=_shuffled):
            fits = len(dev_texts) + len(by_file[file]) <= room
            (dev_texts if fits else train_texts).extend(by_file[file])
        train += _sample(train_texts, topic, size=_ROWS_PER_TOPIC)
        dev += _sample(dev_texts, topic, size=int(_ROWS_PER_TOPIC * _DEV_SHARE))
    known = {row["text"] for row in train}
    unseen = [row for row in dev if row["text"] not in known]
    return Corpus("docstrings of the standard library", {"train": train, "dev": unseen})


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


def _sources(module: str) -> list[Path]:
    """The files of a module or a package; none where this version of Python has no such module."""
    library = Path(sysconfig.get_path("stdlib"))
    package, file = library / module, library / f"{module}.py"
    if package.is_dir():
        return sorted(package.rglob("*.py"))
    return [file] if file.exists() else []


def _docstrings(file: Path) -> list[str]:
    """The beginnings of a file's docstrings, each once; the file is read, not run."""
    texts: dict[str, None] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node) or "").split()
            if len(words) >= _FEWEST_WORDS:
                texts[" ".join(words[:_MOST_WORDS])] = None
    return list(texts)


def _sample(texts: Sequence[str], label: str, *, size: int) -> list[Example]:
    chosen = texts if len(texts) <= size else random.Random(0).sample(texts, size)  # noqa: S311
    return [{"text": text, "label": label} for text in chosen]


def _shuffled(file: Path) -> str:
    """An order that has nothing to do with names; the same on every machine."""
    library = Path(sysconfig.get_path("stdlib"))
    return hashlib.sha256(str(file.relative_to(library)).encode()).hexdigest()
