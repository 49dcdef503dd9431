"""Workers that freeze, with a child running or inside a transaction, and wake when another has taken over."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from app.core.db import Database
from app.core.db.job_queue import claim_job
from app.core.db.jobs import Job, lock_job
from app.core.db.models import get_model
from app.core.db.postgres import Limits
from app.domain.job_states import JobStatus
from tests.conftest import empty_tables
from tests.processes import is_alive, is_stopped, wait_until
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, queue_job, read_job, stored_files, workdir
from worker.runner.announcer import announce_lost
from worker.runner.queue_tasks import run_job, run_next_job
from worker.runner.sweeper import sweep
from worker.runner.watch import DATABASE_AWAY
from worker.runner.worker import Worker

SUPERVISOR = """
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from app.core.settings import Settings
from worker.runner.launch import Command
from worker.runner.worker import create_worker
from worker.runner.shutdown import Shutdown
from worker.runner.announcer import announce_lost
from worker.runner.queue_tasks import run_job
data_dir, url, job_id, *command = sys.argv[1:]
settings = Settings(
    data_dir=Path(data_dir), database_url=url, lease=timedelta(seconds=2), heartbeat=timedelta(seconds=0.2)
)
run_job(replace(create_worker(settings, Shutdown()), launch=Command(command)), job_id)
"""
HANGS = """
make_student()
(workdir / "pid").write_text(str(os.getpid()))
time.sleep(600)
"""
WAITS = """
(workdir / "pid").write_text(str(os.getpid()))
while not (workdir / "go").exists():
    time.sleep(0.02)
succeed()
"""


# Within a heartbeat's transaction, while its child works.
STOPS_ITSELF = """
import os, signal, sys
from pathlib import Path
from worker.runner import watch
hold, stopped = watch.hold_lease, []
def hold_and_stop(*arguments, **options):
    job = hold(*arguments, **options)
    if not stopped and any(path.read_text() for path in Path(sys.argv[1]).glob("work/*/1/pid")):
        stopped.append(job)
        os.kill(os.getpid(), signal.SIGSTOP)
    return job
watch.hold_lease = hold_and_stop
"""


@contextmanager
def supervisor(
    worker: Worker, job_id: str, command: list[str], *, url: str | None = None, program: str = SUPERVISOR
) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker process on a job; it is woken and ended with the block."""
    url = url or worker.database.engine.url.render_as_string(hide_password=False)
    arguments = [str(worker.settings.data_dir), url, job_id, *command]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def freeze(process: subprocess.Popen[bytes], database: Database) -> None:
    """Stop a worker between two of its transactions."""
    while True:
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid))
        if is_writable(database):
            return
        process.send_signal(signal.SIGCONT)


def is_writable(database: Database) -> bool:
    """Whether no transaction holds a job's row or, on SQLite, the one lock that there is."""
    if database.engine.dialect.name == "postgresql":
        with database.transaction() as session:
            return session.scalar(select(Job.id).with_for_update(skip_locked=True)) is not None
    with closing(sqlite3.connect(str(database.engine.url.database), timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


def pid_in(folder: Path) -> int:
    file = folder / "pid"
    wait_until(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


@pytest.mark.parametrize("wakes", ["while the second works", "after the second"])
def test_a_worker_that_freezes_and_wakes_leaves_the_next_attempt_alone(
    make_worker: MakeWorker, database: Database, tmp_path: Path, wakes: str
):
    job_id = queue_job(database)
    worker = make_worker(child(WAITS))
    with supervisor(worker, job_id, child(HANGS)) as first:
        orphan = pid_in(workdir(tmp_path, job_id, 1))
        freeze(first, database)
        wait_until(lambda: not is_alive(orphan))
        assert is_stopped(first.pid), "the child ended without its supervisor's doing"

        wait_until(lambda: sweep(worker) or read_job(database, job_id).status is JobStatus.QUEUED)
        second = threading.Thread(target=run_job, args=(worker, job_id))
        second.start()
        folder = workdir(tmp_path, job_id, 2)
        pid_in(folder)
        if wakes == "while the second works":
            first.send_signal(signal.SIGCONT)
            assert first.wait(timeout=30) == 0
            assert {path.name for path in folder.iterdir()} == {"pid", "request.json", "dataset", "inputs"}
        (folder / "go").touch()
        second.join()
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=30) == 0

    job = read_job(database, job_id)
    assert (job.status, job.attempt, job.error_code) == (JobStatus.SUCCEEDED, 2, None)
    with database.transaction() as session:
        prefix = get_model(session, job.student_id).manifest.files.prefix
    assert stored_files(tmp_path) == [tmp_path / "files" / prefix / "model.safetensors"]


def test_an_outcome_of_another_attempt_is_not_this_one_s(
    make_worker: MakeWorker, database: Database, tmp_path: Path
):
    program = "request = request.model_copy(update={'attempt': 7}); succeed()"
    job_id = queue_job(database)
    run_job(make_worker(child(program)), job_id)
    job = read_job(database, job_id)
    assert (job.status, job.error_code, job.student_id) == (JobStatus.QUEUED, "worker_died", None)
    assert stored_files(tmp_path) == []


class TestInsideATransaction:
    """On PostgreSQL: SQLite has one writer, and one that is frozen stops all others until it is killed."""

    @pytest.fixture
    def database(self, postgres_url: str) -> Iterator[Database]:
        database = Database(postgres_url)
        empty_tables(database)
        yield database
        database.dispose()

    def lose(self, database: Database) -> str:
        job_id = queue_job(database)
        with database.transaction() as session:
            assert claim_job(session, job_id, owner="lost", lease=timedelta(seconds=-1)) is not None
        return job_id

    def test_a_sweep_recovers_the_others_at_once(self, make_worker: MakeWorker, database: Database):
        locked, *others = [self.lose(database) for _ in range(3)]
        with frozen_transaction(database, locked):
            sweep(make_worker(child("succeed()")))
            statuses = [read_job(database, job_id).status for job_id in (locked, *others)]
            assert statuses == [JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.QUEUED]

    def test_the_others_are_announced_again(
        self, make_worker: MakeWorker, database: Database, redis_url: str
    ):
        locked, other = [queue_job(database) for _ in range(2)]
        before = {job_id: read_job(database, job_id).announced_at for job_id in (locked, other)}
        with frozen_transaction(database, locked):
            announce_lost(make_worker(child("succeed()"), broker_url=redis_url, sweep_interval=timedelta(0)))
            assert read_job(database, locked).announced_at == before[locked]
            assert read_job(database, other).announced_at > before[other]

    def test_the_next_job_is_one_whose_row_is_free(self, make_worker: MakeWorker, database: Database):
        locked, other = sorted(queue_job(database) for _ in range(2))
        worker = make_worker(child("succeed()"))
        with frozen_transaction(database, locked):
            run_job(worker, locked)  # was announced to a second worker
            assert run_next_job(worker)
            assert not run_next_job(worker), "it would be asked for without an end"
        assert read_job(database, other).status is JobStatus.SUCCEEDED
        assert read_job(database, locked).status is JobStatus.QUEUED

    def test_the_server_ends_the_transaction_and_the_job_is_recovered(
        self, make_worker: MakeWorker, database: Database, postgres_url: str
    ):
        job_id = self.lose(database)
        worker = make_worker(child("succeed()"))
        frozen = Database(postgres_url, limits=Limits(idle_in_transaction_s=0.5))

        def freeze() -> None:
            with frozen.transaction() as session:
                job = lock_job(session, job_id)
                sweep(worker)
                assert read_job(database, job_id).status is JobStatus.RUNNING
                wait_until(lambda: sweep(worker) or read_job(database, job_id).status is JobStatus.QUEUED)
                job.progress = {"step": 1}

        with pytest.raises(DATABASE_AWAY):
            freeze()
        frozen.dispose()
        assert read_job(database, job_id).progress == {}

    def test_a_heartbeat_that_freezes_past_its_limit_has_lost_the_job(
        self, make_worker: MakeWorker, database: Database, postgres_url: str, tmp_path: Path
    ):
        """The worker's process is stopped at a moment when it holds the row."""
        job_id = queue_job(database)
        worker = make_worker(child(WAITS))
        url = f"{postgres_url}&options=-c%20idle_in_transaction_session_timeout%3D500"
        with supervisor(worker, job_id, child(HANGS), url=url, program=STOPS_ITSELF + SUPERVISOR) as first:
            orphan = pid_in(workdir(tmp_path, job_id, 1))
            wait_until(lambda: first.poll() is None and is_stopped(first.pid))
            wait_until(lambda: not is_alive(orphan))
            wait_until(lambda: sweep(worker) or read_job(database, job_id).status is JobStatus.QUEUED)
            second = threading.Thread(target=run_job, args=(worker, job_id))
            second.start()
            pid_in(workdir(tmp_path, job_id, 2))
            first.send_signal(signal.SIGCONT)
            assert first.wait(timeout=30) == 0
            (workdir(tmp_path, job_id, 2) / "go").touch()
            second.join()
        job = read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 2)
        assert len(stored_files(tmp_path)) == 1


@contextmanager
def frozen_transaction(database: Database, job_id: str) -> Iterator[None]:
    """A transaction without limits that holds a job's row."""
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("select 1 from jobs where id = %s for update", [job_id])
        yield
        connection.rollback()
