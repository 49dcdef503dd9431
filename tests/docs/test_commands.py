"""Every command and every piece of Python in the tutorial and the guides runs against one real service."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.tasks import TASKS
from app.embedded import free_port
from tests.docs.blocks import DOCS, Block, blocks
from tests.tiny import (
    tarred,
    tiny_bert_folder,
    tiny_examples,
    tiny_questions,
    tiny_scored_examples,
    tiny_tagged_examples,
    tiny_translations,
)

START = Block("sh", "squeeze up\n")
LOCAL = "http://127.0.0.1:8000"


def several_labels(rows: int, *, seed: int) -> list[dict[str, Any]]:
    return [{"text": row["text"], "labels": [row["label"]]} for row in tiny_examples(rows, seed=seed)]


def texts(rows: int, *, seed: int) -> list[dict[str, Any]]:
    return [{"text": row["text"]} for row in tiny_examples(rows, seed=seed)]


MAKERS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "text_classification": tiny_examples,
    "multi_label_classification": several_labels,
    "text_regression": tiny_scored_examples,
    "token_classification": tiny_tagged_examples,
    "question_answering": tiny_questions,
    "masked_language_modeling": texts,
    "sentence_embedding": texts,
    "translation": tiny_translations,
}


@pytest.fixture(scope="module")
def path_with_squeeze(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path on which ``squeeze`` and ``python`` are those of these tests."""
    folder = tmp_path_factory.mktemp("bin")
    for name, arguments in {"squeeze": "-m app.cli", "python": ""}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def url(path_with_squeeze: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that the tutorial's first command started."""
    assert blocks("tutorial.md")[0] == START
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEEZE_")}
    environment |= {
        "PATH": path_with_squeeze,
        "SQUEEZE_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "SQUEEZE_PORT": str(free_port()),
    }
    command = ["bash", "-c", f"exec {START.text}"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        assert "Squeeze listens on" in service.stdout.readline()
        yield f"http://127.0.0.1:{environment['SQUEEZE_PORT']}"
        service.send_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tarred(tiny_bert_folder(tmp_path_factory.mktemp("encoder") / "minilm"))


@pytest.fixture
def folder(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader works."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoder.tar.gz").symlink_to(encoder)
    (tmp_path / "minilm").symlink_to(encoder.parent / "minilm")
    return tmp_path


def write_data(folder: Path, task: str) -> None:
    for seed, (split, rows) in enumerate({"train": 64, "dev": 32}.items()):
        lines = [json.dumps(row) + "\n" for row in MAKERS[task](rows, seed=seed)]
        (folder / f"{split}.jsonl").write_text("".join(lines))


def run_shell(page: str, path: str, url: str) -> str:
    """What a page's commands print, all in one shell; one that fails ends them, and the test."""
    text = "\n".join(block.text for block in blocks(page) if block.language == "sh" and block != START)
    script = f"set -euo pipefail\n{text.replace(LOCAL, url)}"
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def run_python(page: str, url: str) -> dict[str, Any]:
    """The names that a page's Python defines."""
    names: dict[str, Any] = {}
    try:
        for block in blocks(page):
            if block.language == "python":
                exec(compile(block.text.replace(LOCAL, url), page, "exec"), names)
    finally:
        for name in ("api", "squeeze"):
            if name in names:
                names[name].close()
    return names


def test_the_tutorial_s_commands(url: str, path_with_squeeze: str, folder: Path):
    minilm = (folder / "minilm").resolve()
    (folder / "minilm").unlink()
    minilm.rename(folder / "minilm")
    write_data(folder, "text_classification")
    printed = run_shell("tutorial.md", path_with_squeeze, url)
    (folder / "minilm").rename(minilm)
    assert '"label"' in printed
    assert "<html" in (folder / "report.html").read_text()
    assert (folder / "model.int8.onnx").stat().st_size > 1000


def test_the_tutorial_s_python(url: str, folder: Path):
    (folder / "encoder.tar.gz").rename("minilm.tar.gz")
    write_data(folder, "text_classification")
    names = run_python("tutorial.md", url)
    assert names["report"]["student"]
    assert len(names["answers"].json()) == 2


@pytest.mark.parametrize("task", MAKERS)
def test_a_guide(task: str, url: str, folder: Path):
    write_data(folder, task)
    names = run_python(f"guides/{task}.md", url)
    assert names["answer"].is_success


def test_the_client_s_page(url: str, folder: Path, capsys: pytest.CaptureFixture[str]):
    write_data(folder, "text_classification")
    names = run_python("reference/python-client.md", url)
    assert len(names["answers"]) == 2
    printed = capsys.readouterr().out
    assert "succeeded" in printed
    assert "422 urn:squeeze:problem:" in printed
    assert "minilm" in printed


def test_the_plan_of_a_search(url: str, folder: Path, capsys: pytest.CaptureFixture[str]):
    write_data(folder, "text_classification")
    plan = run_python("searching.md", url)["plan"]
    assert plan.worker_minutes > 0
    assert f"8 of {len(plan.candidates)} candidates" in capsys.readouterr().out


def test_every_task_has_a_guide_that_runs():
    assert set(MAKERS) == set(TASKS)
    assert {path.stem for path in (DOCS / "guides").glob("*.md")} == {*TASKS, "index"}


def test_no_other_block_stays_unrun():
    """JSON shows rows of data; anything else runs."""
    pages = ["tutorial.md", *(f"guides/{task}.md" for task in TASKS)]
    found = {block.language for page in pages for block in blocks(page)}
    assert found == {"sh", "python", "json"}
    assert all("```sh" not in (DOCS / page).read_text() for page in pages[1:])
    rows = [block.text for page in pages for block in blocks(page) if block.language == "json"]
    assert all(json.loads(row) for row in rows)
