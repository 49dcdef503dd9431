"""What one attempt leaves to the next, and that an earlier one cannot reach what a later one has."""

from pathlib import Path

import pytest

from worker.runner.protocol import CHECKPOINTS, LATENCIES, OUTCOME
from worker.runner.workdir import open_workdir

CHECKPOINT = f"{CHECKPOINTS}/0000000007.safetensors"


def write(path: Path, text: str) -> None:
    """As everything that is kept is written: renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_later_attempt_goes_on_from_what_is_kept(tmp_path: Path):
    first = open_workdir(tmp_path, "job_1", 1)
    kept = {
        CHECKPOINT: "half",
        LATENCIES: "{}",
        "inputs/teacher/config.json": "{}",
        "dataset/train.jsonl": "a",
    }
    own = {
        OUTCOME: "{}",
        "request.json": "{}",
        "student/model.onnx": "x",
        "inputs/teacher/model.partial": "ha",
    }
    for name, text in (kept | own).items():
        write(first / name, text)
    assert files(open_workdir(tmp_path, "job_1", 2)) == kept
    assert not first.exists(), "disks would fill with checkpoints"


def test_the_newest_is_kept_and_what_it_lacks_comes_from_those_before(tmp_path: Path):
    write(tmp_path / "job_1" / "1" / CHECKPOINT, "older")
    write(tmp_path / "job_1" / "1" / "dataset" / "train.jsonl", "a")
    write(tmp_path / "job_1" / "2" / CHECKPOINT, "newer")
    (tmp_path / "job_1" / "10").mkdir()
    assert files(open_workdir(tmp_path, "job_1", 11)) == {CHECKPOINT: "newer", "dataset/train.jsonl": "a"}


def test_an_earlier_attempt_that_is_back_changes_nothing(tmp_path: Path):
    first = open_workdir(tmp_path, "job_1", 1)
    write(first / CHECKPOINT, "half")
    second = open_workdir(tmp_path, "job_1", 2)
    write(first / CHECKPOINT, "stale")
    assert open_workdir(tmp_path, "job_1", 1) == first
    assert files(second) == {CHECKPOINT: "half"}


def test_without_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    write(open_workdir(tmp_path, "job_1", 1) / CHECKPOINT, "half")
    assert files(open_workdir(tmp_path, "job_1", 2)) == {CHECKPOINT: "half"}
