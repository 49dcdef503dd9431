"""One attempt and its child process, however the child ends."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from app.core.db import Database
from app.core.db.base import database_time
from app.core.db.jobs import Job, lock_job
from app.domain.job_states import JobStatus
from tests.processes import is_alive, wait_until
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, history, queue_job, read_job, running, stored_files, workdir
from worker.runner.launch import child_environment
from worker.runner.oom import count_memory_kills, died_of_memory, memory_limit
from worker.runner.protocol import CHECKPOINTS, checkpoint_path
from worker.runner.queue_tasks import run_job
from worker.runner.registration import find_problem

HANGS = """
(workdir / "pid").write_text(str(os.getpid()))
make_student()
while True:
    time.sleep(0.05)
"""

WEIGHTS = "(workdir / STUDENT / 'model.safetensors')"

Outage = Callable[[Database], AbstractContextManager[None]]


@contextmanager
def without_jobs(database: Database) -> Iterator[None]:
    """Every transaction on jobs fails."""
    with database.transaction() as session:
        session.execute(text("alter table jobs rename to hidden_jobs"))
    try:
        yield
    finally:
        with database.transaction() as session:
            session.execute(text("alter table hidden_jobs rename to jobs"))


@contextmanager
def with_job_locked(database: Database) -> Iterator[None]:
    """Every transaction on jobs hangs."""
    with database.transaction() as session:
        session.execute(select(Job).with_for_update())
        yield


def request_cancel(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        lock_job(session, job_id).cancel_requested_at = database_time(session)


class TestReports:
    def test_progress_metrics_and_messages_reach_the_row(self, make_worker: MakeWorker, database: Database):
        worker = make_worker(
            child("""
print("a stray line")
for step in range(1, 201):
    events.send(Progress(stage="train", step=step, total_steps=200, fraction=step / 400))
events.send(Metrics(stage="train", step=200, values={"loss": 0.5}))
events.send(Message(level="warning", text="as \\0 long as it is valid"))
succeed()
""")
        )
        job_id = queue_job(database)
        run_job(worker, job_id)

        job = read_job(database, job_id)
        assert (job.status, job.error_message) == (JobStatus.SUCCEEDED, None)
        assert (job.progress["stage"], job.progress["fraction"]) == ("storing", 1.0)
        assert set(job.read_report().seconds) == {"fetching", "storing"}
        assert history(database, job_id, "metrics") == [
            {"stage": "train", "step": 200, "values": {"loss": 0.5}}
        ]
        assert history(database, job_id, "message") == [
            {"level": "warning", "text": "as  long as it is valid"}
        ]

    def test_more_reports_than_a_pipe_holds(self, make_worker: MakeWorker, database: Database):
        worker = make_worker(
            child("""
for step in range(3000):
    events.send(Progress(stage="train", step=step, total_steps=3000, fraction=0.5))
    os.write(2, b"x" * 100 + b"\\n")
write_outcome(workdir, request, Failed(code="teacher_not_trained", message="Train it first."))
""")
        )
        job_id = queue_job(database)
        run_job(worker, job_id)
        assert read_job(database, job_id).progress["step"] == 2999

    def test_lines_that_are_no_events_are_dropped(self, make_worker: MakeWorker, database: Database):
        worker = make_worker(
            child("""
class Noise:
    def model_dump_json(self):
        return '{"kind": "progress"}\\nnot json\\n'
events.send(Noise())
events.send(Message(text="still here"))
succeed()
""")
        )
        job_id = queue_job(database)
        run_job(worker, job_id)
        assert read_job(database, job_id).status is JobStatus.SUCCEEDED
        assert history(database, job_id, "message") == [{"level": "info", "text": "still here"}]

    def test_lines_on_standard_error_are_logged_with_the_job(
        self, make_worker: MakeWorker, database: Database, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.INFO)
        worker = make_worker(
            child("""
from app.core.logging import configure_logging
configure_logging("json")
import logging
logging.getLogger("worker.training").warning("the loss rises\\nand rises")
os.write(2, b"a library's words, in two")
time.sleep(0.1)
os.write(2, b" writes\\n")
succeed()
os.write(2, b"and an end without a line break")
""")
        )
        run_job(worker, queue_job(database))
        said = [(record.name, record.getMessage()) for record in caplog.records]
        assert ("worker.training", "the loss rises\nand rises") in said
        assert ("worker.job", "a library's words, in two writes") in said
        assert ("worker.job", "and an end without a line break") in said


class TestDeath:
    """On one database: how a process ends has nothing to do with it."""

    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url

    @pytest.mark.parametrize(
        ("body", "code", "reason"),
        [
            ("make_student(); os.kill(os.getpid(), signal.SIGKILL)", "killed", "killed by SIGKILL"),
            ("make_student(); os.kill(os.getpid(), signal.SIGSEGV)", "worker_died", "ended by SIGSEGV"),
            ("make_student(); sys.exit(3)", "worker_died", "status 3"),
            ("make_student(); raise RuntimeError('secret path')", "worker_died", "status 1"),
            ("make_student(); sys.exit(0)", "worker_died", "status 0"),
            ("make_student(); (workdir / 'outcome.json').write_text('{')", "worker_died", "status 0"),
            ("workdir.rename(workdir.parent / 'x'); succeed()", "work_folder_lost", "SQUEEZE_DATA_DIR"),
            (f"succeed(); {WEIGHTS}.unlink()", "work_folder_lost", "SQUEEZE_DATA_DIR"),
            (f"succeed(); {WEIGHTS}.write_text('cut sh')", "work_folder_lost", "SQUEEZE_DATA_DIR"),
            ("(workdir / 'outcome.partial').symlink_to('/dev/full'); succeed()", "disk_full", "disk of the"),
            ("succeed(); shutil.rmtree(workdir)", "work_folder_lost", "SQUEEZE_DATA_DIR"),
        ],
    )
    def test_too_often_fails_the_job_with_its_reason(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path, body: str, code: str, reason: str
    ):
        worker = make_worker(child(body), max_attempts=1)
        job_id = queue_job(database)
        run_job(worker, job_id)

        job = read_job(database, job_id)
        assert (job.status, job.error_code) == (JobStatus.FAILED, code)
        assert job.error_message is not None
        assert reason in job.error_message
        assert "secret path" not in job.error_message
        assert stored_files(tmp_path) == []
        assert not (tmp_path / "work" / job_id).exists()

    def test_a_worker_without_a_work_folder_takes_no_job(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        (tmp_path / "work").write_text("not a folder")
        job_id = queue_job(database)
        worker = make_worker(child("succeed()"))
        assert find_problem(worker) == f"The work folder of {worker.host} cannot be used: File exists."
        run_job(worker, job_id)
        job = read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
        (tmp_path / "work").unlink()
        run_job(make_worker(child("succeed()")), job_id)
        assert read_job(database, job_id).status is JobStatus.SUCCEEDED

    def test_a_child_as_large_as_the_machine_died_of_memory(self):
        kills = count_memory_kills()
        assert died_of_memory(kills_before=kills, peak_bytes=int(0.95 * memory_limit()))
        assert not died_of_memory(kills_before=kills, peak_bytes=memory_limit() // 10)
        assert died_of_memory(kills_before=kills - 1, peak_bytes=0)

    def test_what_the_child_started_goes_with_it(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        pid_file = tmp_path / "grandchild"
        worker = make_worker(
            child(f"""
grandchild = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
pathlib.Path({str(pid_file)!r}).write_text(str(grandchild.pid))
succeed()
""")
        )
        run_job(worker, queue_job(database))
        wait_until(lambda: not is_alive(int(pid_file.read_text())))


class TestStopping:
    def test_cancel_asks_the_child_and_is_prompt(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        worker = make_worker(
            child("""
make_student()
def stop(*_):
    write_outcome(workdir, request, Cancelled())
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(workdir / "pid").write_text(str(os.getpid()))
while True:
    time.sleep(0.05)
"""),
            cancel_grace=timedelta(seconds=60),
        )
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path):
            request_cancel(database, job_id)  # the block waits for the child, and not as long as its grace
        assert read_job(database, job_id).status is JobStatus.CANCELLED
        assert stored_files(tmp_path) == []

    def test_a_child_that_does_not_listen_is_killed(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        worker = make_worker(child("signal.signal(signal.SIGTERM, signal.SIG_IGN)" + HANGS))
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path) as pid:
            request_cancel(database, job_id)
        assert read_job(database, job_id).status is JobStatus.CANCELLED
        assert not is_alive(pid)

    def test_shutdown_puts_the_job_back_and_keeps_its_checkpoint(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        worker = make_worker(child("write_checkpoint(7)" + HANGS))
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path):
            worker.shutdown.request()
        job = read_job(database, job_id)
        assert (job.status, job.lease_owner, job.attempt) == (JobStatus.QUEUED, None, 1)
        checkpoint = checkpoint_path(workdir(tmp_path, job_id) / CHECKPOINTS, 7)
        assert checkpoint.read_text() == "7"
        assert stored_files(tmp_path) == []

        run_job(worker, job_id)
        assert read_job(database, job_id).status is JobStatus.QUEUED, "a worker that is going takes no more"

        run_job(
            make_worker(child("assert checkpointed_steps(workdir / CHECKPOINTS) == [7]; succeed()")), job_id
        )
        job = read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 2)
        assert not (tmp_path / "work" / job_id).exists()

    def test_the_child_dies_with_its_supervisor(self, tmp_path: Path):
        """Not started by the supervisor itself: what is under test is what the child does when it goes."""
        program = child("""
(workdir / "pid").write_text(str(os.getpid()))
time.sleep(600)
""")
        program[2] = program[2].replace("request = read_request(workdir)", "")
        parent = f"""
import subprocess, time
subprocess.Popen({[*program, str(tmp_path)]!r}, stdin=subprocess.PIPE, start_new_session=True)
time.sleep(600)
"""
        with subprocess.Popen([sys.executable, "-c", parent]) as supervisor:
            wait_until((tmp_path / "pid").exists)
            time.sleep(0.1)
            pid = int((tmp_path / "pid").read_text())
            assert is_alive(pid)
            supervisor.kill()
        wait_until(lambda: not is_alive(pid))


class TestLease:
    def test_a_job_taken_over_is_left_alone(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        worker = make_worker(child(HANGS))
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path) as pid, database.transaction() as session:
            job = lock_job(session, job_id)
            job.attempt = 2
            job.lease_owner = "another"
        assert not is_alive(pid)
        job = read_job(database, job_id)
        assert (job.status, job.attempt, job.lease_owner) == (JobStatus.RUNNING, 2, "another")
        assert stored_files(tmp_path) == []

    def test_one_that_ends_while_files_are_fetched_is_lost(
        self, make_worker: MakeWorker, database: Database, monkeypatch: pytest.MonkeyPatch
    ):
        begun, is_over = threading.Event(), threading.Event()

        def fetch_inputs(*_: object) -> None:
            begun.set()
            is_over.wait(30)

        monkeypatch.setattr("worker.runner.supervisor.fetch_inputs", fetch_inputs)
        worker = make_worker(child("succeed()"), lease=timedelta(seconds=1))
        job_id = queue_job(database)
        thread = threading.Thread(target=run_job, args=(worker, job_id))
        thread.start()
        assert begun.wait(30)
        with without_jobs(database):
            thread.join(30)
            assert not thread.is_alive()
        is_over.set()
        assert read_job(database, job_id).status is JobStatus.RUNNING, "until the sweeper finds it"

    def test_the_lease_is_renewed_while_the_child_works(self, make_worker: MakeWorker, database: Database):
        worker = make_worker(child("time.sleep(3); succeed()"), lease=timedelta(seconds=1))
        job_id = queue_job(database)
        run_job(worker, job_id)
        assert read_job(database, job_id).status is JobStatus.SUCCEEDED

    def test_survives_a_database_that_is_away_for_less_than_the_lease(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        program = "(workdir / 'pid').write_text(str(os.getpid())); time.sleep(2.5); succeed()"
        worker = make_worker(child(program), lease=timedelta(seconds=8))
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path), without_jobs(database):
            time.sleep(1.5)
        assert read_job(database, job_id).status is JobStatus.SUCCEEDED

    @pytest.mark.parametrize("outage", [without_jobs, with_job_locked])
    def test_stops_the_child_when_the_lease_cannot_be_renewed(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path, outage: Outage
    ):
        worker = make_worker(child(HANGS), lease=timedelta(seconds=1.5))
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path) as pid, outage(database):
            began = time.monotonic()
            wait_until(lambda: not is_alive(pid))
            assert time.monotonic() - began < worker.settings.lease.total_seconds()
        job = read_job(database, job_id)
        assert job.status is JobStatus.RUNNING, "nothing is written about a lost job"
        assert stored_files(tmp_path) == []


class TestEnvironment:
    def test_secrets_stay_with_the_worker(self):
        given = {
            "PATH": "/bin",
            "OMP_NUM_THREADS": "3",
            "LRU_CACHE_CAPACITY": "16",
            "AWS_SECRET_ACCESS_KEY": "for the store",
            "SQUEEZE_DATABASE_URL": "postgresql://user:secret@host/squeeze",
            "SQUEEZE_BROKER_URL": "redis://:secret@host",
            "HF_TOKEN": "secret",
        }
        assert child_environment(given) == {
            "PATH": "/bin",
            "OMP_NUM_THREADS": "3",
            "LRU_CACHE_CAPACITY": "16",
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
            "GOMP_SPINCOUNT": "10000",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
        }

    def test_who_says_how_threads_wait_is_heard(self):
        assert "GOMP_SPINCOUNT" not in child_environment({"OMP_WAIT_POLICY": "PASSIVE"})
        assert child_environment({"GOMP_SPINCOUNT": "5"})["GOMP_SPINCOUNT"] == "5"

    def test_the_worker_loads_no_training_framework(self):
        program = "import sys, worker.runner.main, worker.runner.celery_app; print(*sorted(sys.modules))"
        loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        names = {name.partition(".")[0] for name in loaded.stdout.split()}
        assert "celery" in names
        assert not names & {"torch", "transformers", "onnx", "onnxruntime"}
