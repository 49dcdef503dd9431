"""What is removed because nobody needs it any more, what is kept, and what a dry run tells of it."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import BaseError as StoreError
from sqlalchemy import select

from app.core.db import Database
from app.core.db.job_queue import claim_job
from app.core.db.jobs import lock_job
from app.core.db.models import Model
from app.core.db.orphans import Orphan
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents.manifest import FileEntry
from app.domain.errors import Unreadable
from app.embedded import settings_environment
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, model_manifest, queue_job
from worker.runner.cleaning import clean_up
from worker.runner.prefixes import checkpoint_prefix, output_prefix
from worker.runner.worker import Worker

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the machine's, which these tests would clean."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def worker(make_worker: MakeWorker) -> Worker:
    return make_worker(child(""), keep_orphans=HOUR, keep_work=HOUR, keep_cache=HOUR)


def write(path: Path, *, size: int = 10, age: timedelta = timedelta(0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    make_older(path, age)
    return path


def make_older(path: Path, age: timedelta) -> None:
    changed = path.stat().st_mtime - age.total_seconds()
    os.utime(path, (changed, changed))


def manifest_of(prefix: str) -> dict[str, Any]:
    """A model's that has the one file that is written in these tests."""
    manifest = model_manifest()
    manifest.files.prefix = prefix
    manifest.files.entries["a"] = FileEntry(sha256="0" * 64, size_bytes=10)
    return manifest.to_stored()


class TestOrphans:
    @pytest.fixture
    def stored(self, worker: Worker, database: Database, tmp_path: Path) -> Path:
        """A store with what a model's row and a running job name, and with orphans."""
        running = queue_job(database)
        with database.transaction() as session:
            job = claim_job(session, running, owner="a", lease=HOUR)
            [teacher] = session.scalars(select(Model))
            teacher.manifest_json = manifest_of("models/teacher")
        files = tmp_path / "files"
        named = ["models/teacher", "datasets/data", output_prefix(job), checkpoint_prefix(job)]
        for prefix in (*named, "models/lost-1", "datasets/cut", "checkpoints/lost-1", "other/files/x"):
            write(files / prefix / "a")
        return files

    def age(self, database: Database, by: timedelta) -> None:
        with database.transaction() as session:
            for orphan in session.scalars(select(Orphan)):
                orphan.noted_at -= by

    def test_go_when_they_have_been_orphans_for_long(self, worker: Worker, database: Database, stored: Path):
        clean_up(worker)
        before = sorted(stored.rglob("a"))
        assert len(before) == 8, "they were only noted"
        self.age(database, HOUR)
        clean_up(worker)
        gone = set(before) - set(stored.rglob("a"))
        assert {path.parent.relative_to(stored).as_posix() for path in gone} == {
            "models/lost-1",
            "datasets/cut",
            "checkpoints/lost-1",
        }
        clean_up(worker)
        with database.reading() as session:
            assert session.scalars(select(Orphan)).all() == []

    def test_what_gets_a_row_meanwhile_is_kept(self, worker: Worker, database: Database, stored: Path):
        clean_up(worker)
        self.age(database, HOUR)
        with database.transaction() as session:
            session.add(Model(name="late", origin="job", manifest_json=manifest_of("models/lost-1")))
        clean_up(worker)
        assert (stored / "models" / "lost-1" / "a").exists()
        assert not (stored / "datasets" / "cut" / "a").exists()

    def test_a_file_beside_those_of_a_model_that_its_row_does_not_name(
        self, worker: Worker, database: Database, stored: Path
    ):
        """As a job leaves an export of its teacher that was cancelled before it ended."""
        added = write(stored / "models" / "teacher" / "model.fp32.0123.onnx")
        clean_up(worker)
        assert added.exists(), "it was only noted"
        self.age(database, HOUR)
        clean_up(worker)
        assert not added.exists()
        assert (stored / "models" / "teacher" / "a").exists()

    def test_the_files_of_another_database_are_left_alone(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        """As where a setting names an empty database and a store in use."""
        file = write(tmp_path / "files" / "models" / "mdl_1" / "a")
        worker = make_worker(child(""), keep_orphans=timedelta(0))
        for _ in range(2):
            clean_up(worker)
        assert file.exists()

    def test_nothing_goes_while_a_row_does_not_say_where_its_files_are(
        self, worker: Worker, database: Database, stored: Path
    ):
        clean_up(worker)
        self.age(database, HOUR)
        with database.transaction() as session:
            session.add(Model(name="new", origin="job", manifest_json={"version": 99, "place": "x"}))
        with pytest.raises(Unreadable):
            clean_up(worker)
        assert (stored / "models" / "lost-1" / "a").exists()

    def test_what_the_store_does_not_delete_is_tried_again(
        self, worker: Worker, database: Database, stored: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def refuse(self: Storage, keys: object) -> None:
            raise StoreError("away")

        clean_up(worker)
        self.age(database, HOUR)
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "delete_files", refuse)
            clean_up(worker)
        assert (stored / "models" / "lost-1" / "a").exists()
        clean_up(worker)
        assert not (stored / "models" / "lost-1" / "a").exists()


class TestOnThisMachine:
    """On one database: what is looked at are files."""

    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url

    def test_work_folders_of_jobs_that_are_elsewhere(
        self, worker: Worker, database: Database, tmp_path: Path
    ):
        running, queued = [queue_job(database) for _ in range(2)]
        with database.transaction() as session:
            claim_job(session, running, owner="a", lease=HOUR)
            lock_job(session, running).attempt = 3
        for job_id, attempt, age in ((running, 1, 2), (running, 3, 2), (queued, 1, 2), (queued, 2, 0)):
            folder = tmp_path / "work" / job_id / str(attempt)
            write(folder / "inputs" / "model", age=age * HOUR)
            for path in (folder / "inputs", folder):
                make_older(path, age * HOUR)
        clean_up(worker)
        kept = {tuple(path.parts[-4:-2]) for path in (tmp_path / "work").rglob("model")}
        assert kept == {(running, "3"), (queued, "2")}

    def test_the_cache_by_age(self, worker: Worker):
        cache = worker.settings.cache_dir
        for name, age in (("old", 2), ("onnx/old", 2), ("young", 0), ("onnx/young", 0)):
            write(cache / name, age=age * HOUR)
        used = write(cache / "used", age=2 * HOUR)
        os.utime(used, ns=(cache.stat().st_mtime_ns, used.stat().st_mtime_ns))
        clean_up(worker)
        kept = {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
        assert kept == {"young", "onnx/young", "used"}

    def test_the_cache_by_size(self, make_worker: MakeWorker):
        worker = make_worker(child(""), cache_max_bytes=250)
        cache = worker.settings.cache_dir
        for name, age in (("first", 5), ("second", 4), ("third", 3), ("fourth", 2), ("in use", 0)):
            write(cache / name, size=100, age=age * HOUR)
        clean_up(worker)
        assert {path.name for path in cache.iterdir()} == {"fourth", "in use"}

    def test_what_is_in_use_may_be_more_than_the_cache_s_size(self, make_worker: MakeWorker):
        worker = make_worker(child(""), cache_max_bytes=0)
        file = write(worker.settings.cache_dir / "in use")
        clean_up(worker)
        assert file.exists()

    def test_what_was_being_stored_in_a_folder(self, worker: Worker, tmp_path: Path):
        """Such names are the store library's, which lists no files of them."""
        folder = tmp_path / "files" / "models" / "mdl_1"
        for name, hours in (("model.onnx#1", 48), ("model.onnx#2", 1), ("model.onnx", 48)):
            write(folder / name, age=hours * HOUR)
        assert set(worker.storage.sizes("models")) == {"models/mdl_1/model.onnx"}
        clean_up(worker)
        assert {path.name for path in folder.iterdir()} == {"model.onnx#2", "model.onnx"}

    def test_uploads_that_were_cut_off(self, worker: Worker, temporary_folder: Path):
        for name, age in (("squeeze-intake-old", 2), ("squeeze-intake-young", 0), ("another", 2)):
            write(temporary_folder / name / "model.zip", age=age * HOUR)
            make_older(temporary_folder / name, age * HOUR)
        clean_up(worker)
        assert {path.name for path in temporary_folder.iterdir()} == {"squeeze-intake-young", "another"}


def test_a_dry_run_tells_and_changes_nothing(sqlite_url: str, tmp_path: Path):
    settings = Settings(data_dir=tmp_path, database_url=sqlite_url)
    work, cached = tmp_path / "work" / "gone", settings.cache_dir / "old"
    write(work / "1" / "model", size=1234)
    write(cached, age=timedelta(days=40))
    write(settings.cache_dir / "half.partial", age=HOUR)
    output = subprocess.run(
        [sys.executable, "-m", "app.cli", "sweep", "--dry-run"],
        env=settings_environment(settings) | {"TMPDIR": str(tmp_path / "tmp")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = {line.split()[-1]: " ".join(line.split()[:-1]) for line in output.splitlines()}
    assert lines.keys() == {str(work), str(cached), str(settings.cache_dir / "half.partial")}
    assert lines[str(work)] == "now 1,234 B work folder"
    assert lines[str(settings.cache_dir / "half.partial")].startswith(("in 23:", "in 22:"))
    assert work.exists()
    assert cached.exists()
