"""Checkpoints: what comes back, which are kept, and what becomes of damaged ones."""

import math
from pathlib import Path

import pytest
import torch

from app.core.storage import Storage
from app.domain.documents.manifest import FileEntry
from worker.job.checkpoint import Checkpoints, load_checkpoint, save_checkpoint
from worker.runner.inputs import fetch_checkpoint
from worker.runner.protocol import StoredCheckpoint


class TestFile:
    def test_comes_back_as_it_was(self, tmp_path: Path) -> None:
        shared = torch.arange(6, dtype=torch.float32)
        state = {
            "step": 3,
            "best": -math.inf,
            "rate": 0.1 + 0.2,
            "name": "dense",
            "nothing": None,
            "is_done": False,
            "moments": {0: {"exp_avg": torch.randn(2, 3)}, 1: {"step": torch.tensor(7.0)}},
            "views": [shared, shared[2:], shared.view(2, 3).T],
            "rng": torch.get_rng_state(),
            "half": torch.randn(4).bfloat16(),
            "empty": {},
            # Keys that the format itself uses.
            "tensor": {"items": [1, {"tensor": "0"}]},
        }
        save_checkpoint(tmp_path / "state", state)
        found = load_checkpoint(tmp_path / "state")
        assert_same(found, state)

    def test_replaces_the_one_before_and_leaves_nothing_else(self, tmp_path: Path) -> None:
        for step in (1, 2):
            save_checkpoint(tmp_path / "state", {"step": step})
        assert load_checkpoint(tmp_path / "state") == {"step": 2}
        assert list(tmp_path.iterdir()) == [tmp_path / "state"]

    def test_none_and_a_torn_one_mean_a_fresh_start(self, tmp_path: Path) -> None:
        path = tmp_path / "state"
        assert load_checkpoint(path) is None
        save_checkpoint(path, {"weights": torch.ones(1000)})
        path.write_bytes(path.read_bytes()[:-100])
        assert load_checkpoint(path) is None

    def test_refuses_what_is_not_data(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="got object"):
            save_checkpoint(tmp_path / "state", {"method": object()})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("at", [-1, -4000, 100])
    def test_a_damaged_one_cannot_be_read(self, tmp_path: Path, at: int) -> None:
        """In the last tensor, in the first, and in the header."""
        path = tmp_path / "state"
        save_checkpoint(path, {"weights": [torch.ones(1000), torch.ones(3, dtype=torch.uint8)]})
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
        assert load_checkpoint(path) is None


class TestKept:
    def test_the_last_two(self, tmp_path: Path) -> None:
        checkpoints = Checkpoints(tmp_path / "checkpoints")
        assert checkpoints.load() is None
        for step in (9, 10, 200):
            checkpoints.save({"progress": step}, step=step)
        assert checkpoints.steps() == [10, 200]
        assert checkpoints.load() == {"progress": 200}

    def test_a_damaged_one_gives_way_to_the_one_before(self, tmp_path: Path) -> None:
        checkpoints = Checkpoints(tmp_path)
        for step in (1, 2):
            checkpoints.save({"weights": torch.full((10,), step)}, step=step)
        damage(checkpoints.path(2))
        assert_same(checkpoints.load(), {"weights": torch.full((10,), 1)})
        checkpoints.save({"progress": 3}, step=3)
        assert checkpoints.steps() == [1, 3], "the damaged one is not taken for one of the last two"


class TestFetched:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return Storage.from_url(f"file://{tmp_path / 'files'}")

    @pytest.fixture
    def stored(self, storage: Storage, tmp_path: Path) -> list[StoredCheckpoint]:
        """Of the steps 1 and 2, by another machine."""
        note = tmp_path / "note.json"
        note.write_text('{"latency": 1}')
        other = Checkpoints(tmp_path / "other", note=note)
        found = []
        for step in (1, 2):
            other.save({"progress": step}, step=step)
            storage.put_file(f"checkpoints/{step}", other.path(step))
            entry = FileEntry.of(other.path(step))
            found.append(StoredCheckpoint(key=f"checkpoints/{step}", step=step, file=entry))
        return found

    @pytest.fixture
    def local(self, tmp_path: Path) -> Checkpoints:
        (tmp_path / "work").mkdir()
        return Checkpoints(tmp_path / "work" / "checkpoints", note=tmp_path / "work" / "note.json")

    def test_the_latest_comes_with_its_note(
        self, storage: Storage, stored: list[StoredCheckpoint], local: Checkpoints, tmp_path: Path
    ) -> None:
        bring(stored, local, storage)
        assert (local.steps(), local.load()) == ([2], {"progress": 2})
        assert (tmp_path / "work" / "note.json").read_text() == '{"latency": 1}'

    @pytest.mark.parametrize("fault", ["missing", "damaged", "cut"])
    def test_one_that_is_not_whole_gives_way_to_the_one_before(
        self, storage: Storage, stored: list[StoredCheckpoint], local: Checkpoints, tmp_path: Path, fault: str
    ) -> None:
        file = tmp_path / "files" / "checkpoints" / "2"
        if fault == "missing":
            file.unlink()
        elif fault == "damaged":
            damage(file)
        else:
            file.write_bytes(file.read_bytes()[:-10])
        bring(stored, local, storage)
        assert (local.steps(), local.load()) == ([1], {"progress": 1})

    def test_one_on_this_machine_is_not_lost_for_one_that_is_not_whole(
        self, storage: Storage, stored: list[StoredCheckpoint], local: Checkpoints, tmp_path: Path
    ) -> None:
        damage(tmp_path / "files" / "checkpoints" / "2")
        local.save({"progress": 2.5}, step=2)
        bring(stored, local, storage)
        assert local.load() == {"progress": 2.5}

    def test_nothing_whole_means_a_fresh_start(
        self, storage: Storage, stored: list[StoredCheckpoint], local: Checkpoints
    ) -> None:
        storage.delete_prefix("checkpoints")
        bring(stored, local, storage)
        assert local.load() is None

    @pytest.mark.parametrize(("step", "latest"), [(1, 2), (2, 2), (3, 3)])
    def test_a_later_one_on_this_machine_is_kept(
        self, storage: Storage, stored: list[StoredCheckpoint], local: Checkpoints, step: int, latest: int
    ) -> None:
        local.save({"progress": step}, step=step)
        bring(stored, local, storage)
        assert local.load() == {"progress": latest}

    def test_a_later_one_on_this_machine_that_is_damaged_is_not(
        self, storage: Storage, stored: list[StoredCheckpoint], local: Checkpoints
    ) -> None:
        local.save({"weights": torch.ones(10)}, step=3)
        damage(local.path(3))
        bring(stored, local, storage)
        assert local.load() == {"progress": 2}


def bring(stored: list[StoredCheckpoint], local: Checkpoints, storage: Storage) -> None:
    """As a supervisor and its child do, one after the other."""
    fetch_checkpoint(stored, local.folder, storage)
    local.remove_damaged()
    local.restore_note()


def damage(path: Path) -> None:
    """Change a bit of the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def assert_same(found: object, expected: object) -> None:
    """Equal trees; tensors equal bit by bit, in type and shape."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        assert isinstance(found, list)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected
        assert type(found) is type(expected)
