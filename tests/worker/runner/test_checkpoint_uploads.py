"""Checkpoints in the store: what of a running attempt gets there, and what is deleted again."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from obstore.store import LocalStore

from app.core.db import Database
from app.core.db.checkpoints import KEPT, add_checkpoint, list_checkpoints, unneeded_checkpoints
from app.core.db.job_queue import claim_job
from app.core.db.jobs import lock_job, move
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents.attempts import AttemptRecord
from app.domain.documents.manifest import FileEntry
from app.domain.job_states import JobStatus
from tests.processes import wait_until
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, queue_job, read_job, running, workdir
from worker.runner.checkpoint_uploads import CheckpointUploads
from worker.runner.cleaning import remove_checkpoints
from worker.runner.prefixes import checkpoint_prefix
from worker.runner.protocol import CHECKPOINTS, JobRequest, checkpoint_path
from worker.runner.queue_tasks import run_job

WAITS = """
(workdir / "pid").write_text(str(os.getpid()))
while not (workdir / "go").exists():
    time.sleep(0.02)
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
LEASE = Settings().lease


def steps(database: Database, job_id: str) -> list[int]:
    with database.reading() as session:
        return [row.step for row in list_checkpoints(session, job_id)]


def stored(data_dir: Path) -> list[str]:
    """The content of each stored checkpoint."""
    files = (data_dir / "files").rglob("*.safetensors")
    return sorted(path.read_text() for path in files if "checkpoints" in path.parts)


class TestAttempt:
    def test_a_checkpoint_is_stored_while_the_child_works(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        job_id = queue_job(database)
        with running(make_worker(child(f"write_checkpoint(7){WAITS}succeed()")), job_id, tmp_path):
            wait_until(lambda: steps(database, job_id) == [7])
            with database.reading() as session:
                [row] = list_checkpoints(session, job_id)
            file = tmp_path / "files" / row.key
            assert FileEntry.of(file) == FileEntry(sha256=row.sha256, size_bytes=row.size_bytes)
            prefix = checkpoint_prefix(read_job(database, job_id))
            assert row.key == f"{prefix}/{row.sha256}.safetensors"
            (workdir(tmp_path, job_id) / "go").touch()
        assert read_job(database, job_id).read_attempt_record() == AttemptRecord(step=7, last_progress=1)

    def test_the_last_one_of_a_killed_child_is_stored_for_the_next_attempt(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        job_id = queue_job(database)
        run_job(make_worker(child(f"for step in range(1, 9): write_checkpoint(step)\n{KILLED}")), job_id)
        assert read_job(database, job_id).status is JobStatus.QUEUED
        assert steps(database, job_id)[0] == 8
        shutil.rmtree(tmp_path / "work")  # as for another host
        program = """
assert checkpointed_steps(workdir / CHECKPOINTS) == [8]
assert checkpoint_path(workdir / CHECKPOINTS, 8).read_text() == "8"
succeed()
"""
        run_job(make_worker(child(program)), job_id)
        assert read_job(database, job_id).status is JobStatus.SUCCEEDED

    def test_a_store_that_is_away_stops_no_training(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        job_id = queue_job(database)
        worker = make_worker(child(f"write_checkpoint(7){WAITS}succeed()"))
        with running(worker, job_id, tmp_path):
            (tmp_path / "files").rename(tmp_path / "away")
            (tmp_path / "files").write_text("no folder")
            wait_until(lambda: read_job(database, job_id).read_attempt_record().step == 7)
            (tmp_path / "files").unlink()
            (tmp_path / "away").rename(tmp_path / "files")
            (workdir(tmp_path, job_id) / "go").touch()
        assert read_job(database, job_id).status is JobStatus.SUCCEEDED


class SlowStorage(Storage):
    """Keeps what it is given until a file may pass."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder, mkdir=True))
        self.gate = threading.Semaphore(0)

    def put_file(self, key: str, path: Path) -> None:
        assert self.gate.acquire(timeout=30)
        super().put_file(key, path)


class TestUploads:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SlowStorage:
        return SlowStorage(tmp_path / "files")

    @pytest.fixture
    def uploads(self, storage: SlowStorage, tmp_path: Path) -> CheckpointUploads:
        request = JobRequest.model_construct(checkpoint_prefix="checkpoints/job_1-3")
        return CheckpointUploads(storage, request, tmp_path)

    def write(self, folder: Path, step: int) -> int:
        path = checkpoint_path(folder / CHECKPOINTS, step)
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(step))
        return step

    def test_one_at_a_time_and_the_latest_at_the_end(
        self, uploads: CheckpointUploads, storage: SlowStorage, tmp_path: Path
    ):
        for step in (1, 2, 3):
            uploads.offer(self.write(tmp_path, step))
        assert not uploads.flush(0.01)
        storage.gate.release()
        uploads.flush(30)
        assert [one.step for one in uploads.take()] == [1]
        assert uploads.take() == []
        storage.gate.release()
        assert uploads.flush(30)
        assert [one.step for one in uploads.take()] == [3]
        assert stored(tmp_path) == ["1", "3"]

    def test_after_one_training_has_the_machine_to_itself_for_a_while(
        self,
        uploads: CheckpointUploads,
        storage: SlowStorage,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        now = [1000.0]
        monkeypatch.setattr("worker.runner.checkpoint_uploads.time.monotonic", lambda: now[0])
        uploads.offer(self.write(tmp_path, 1))
        now[0] += 10
        storage.gate.release()
        assert uploads.flush(30)
        for step, waited_s in ((2, 29), (3, 2)):
            now[0] += waited_s
            storage.gate.release()
            uploads.offer(self.write(tmp_path, step))
        assert uploads.flush(30)
        assert [one.step for one in uploads.take()] == [1, 3]

    def test_the_child_may_remove_a_checkpoint_that_is_being_stored(
        self, uploads: CheckpointUploads, storage: SlowStorage, tmp_path: Path
    ):
        uploads.offer(self.write(tmp_path, 1))
        wait_until((tmp_path / "upload.safetensors").exists)
        checkpoint_path(tmp_path / CHECKPOINTS, 1).unlink()
        storage.gate.release()
        assert uploads.flush(30)
        assert stored(tmp_path) == ["1"]

    def test_what_is_stored_too_late_is_deleted_again(
        self, uploads: CheckpointUploads, storage: SlowStorage, tmp_path: Path
    ):
        with uploads:
            uploads.offer(self.write(tmp_path, 1))
        storage.gate.release()
        uploads.flush(30)
        assert (uploads.take(), stored(tmp_path)) == ([], [])

    def test_one_that_is_gone_is_left_out(self, uploads: CheckpointUploads, storage: SlowStorage):
        uploads.offer(1)
        assert uploads.flush(30)
        assert uploads.take() == []


class TestUnneeded:
    def add(self, database: Database, data_dir: Path, job_id: str, *, attempt: int, step: int) -> None:
        """A stored checkpoint of a job that runs."""
        key = f"checkpoints/{job_id}-{attempt}/{step}.safetensors"
        file = data_dir / "files" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{attempt}:{step}")
        with database.transaction() as session:
            job = lock_job(session, job_id)
            job.attempt = attempt
            add_checkpoint(session, job, step=step, key=key, file=FileEntry.of(file))

    def claimed(self, database: Database) -> str:
        job_id = queue_job(database)
        with database.transaction() as session:
            assert claim_job(session, job_id, owner="a", lease=LEASE) is not None
        return job_id

    def test_the_last_two_of_each_job_are_kept(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        assert KEPT == 2
        jobs = [self.claimed(database) for _ in range(2)]
        for job_id in jobs:
            for attempt, step in ((1, 100), (1, 300), (2, 150), (2, 200)):
                self.add(database, tmp_path, job_id, attempt=attempt, step=step)
        remove_checkpoints(make_worker(child("")))
        assert stored(tmp_path) == ["2:150", "2:150", "2:200", "2:200"]
        assert [steps(database, job_id) for job_id in jobs] == [[200, 150]] * 2

    @pytest.mark.parametrize("end", [status for status in JobStatus if status.is_terminal])
    def test_those_of_a_job_that_has_ended_go(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path, end: JobStatus
    ):
        ended, other = [self.claimed(database) for _ in range(2)]
        for job_id in (ended, other):
            self.add(database, tmp_path, job_id, attempt=1, step=100)
        with database.transaction() as session:
            move(session, lock_job(session, ended), end)
        remove_checkpoints(make_worker(child("")))
        assert (steps(database, ended), steps(database, other)) == ([], [100])
        assert stored(tmp_path) == ["1:100"]

    def test_those_of_a_status_that_a_later_version_knows_are_kept(self, database: Database, tmp_path: Path):
        job_id = self.claimed(database)
        self.add(database, tmp_path, job_id, attempt=1, step=100)
        with database.transaction() as session:
            lock_job(session, job_id).status_text = "paused"
        with database.reading() as session:
            assert unneeded_checkpoints(session) == []

    def test_what_the_store_does_not_delete_is_tried_again(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        job_id = self.claimed(database)
        self.add(database, tmp_path, job_id, attempt=1, step=100)
        with database.transaction() as session:
            move(session, lock_job(session, job_id), JobStatus.FAILED)
        worker = make_worker(child(""))
        with read_only(tmp_path / "files", worker.storage):
            remove_checkpoints(worker)
            assert steps(database, job_id) == [100]
        remove_checkpoints(worker)
        assert (steps(database, job_id), stored(tmp_path)) == ([], [])


@contextmanager
def read_only(folder: Path, storage: Storage) -> Iterator[None]:
    """A store that deletes nothing."""

    def refuse(keys: object) -> None:
        raise PermissionError(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "delete_files", refuse)
        yield
