"""A worker says who it is and that it lives; one with a full disk takes no jobs."""

import threading
from datetime import timedelta
from pathlib import Path

from app.core.db import Database
from app.core.db.workers import WorkerRow, list_workers, live_workers
from app.domain.documents import JobSpec
from app.domain.documents.plan import Plan
from app.domain.job_states import JobStatus
from app.domain.methods import METHOD_SPECS
from tests.processes import wait_until
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, queue_job, read_job
from worker.runner.devices import find_devices
from worker.runner.queue_tasks import run_job, run_next_job
from worker.runner.registration import deregister, send_heartbeat
from worker.runner.sweeper import sweep


def rows(database: Database) -> list[WorkerRow]:
    with database.reading() as session:
        return list(list_workers(session, limit=100))


def test_its_entry(make_worker: MakeWorker, database: Database):
    worker = make_worker(child("succeed()"), queues=["gpu", "squeeze"])
    send_heartbeat(worker)
    [first] = rows(database)
    assert (first.id, first.name, first.host) == (worker.id, worker.name, worker.host)
    assert (first.queues, first.methods) == (["gpu", "squeeze"], sorted([*METHOD_SPECS, "auto"]))
    assert first.documents == {"job spec": JobSpec.newest_version(), "plan": Plan.newest_version()}
    assert first.devices == find_devices() != []
    assert (first.job_id, first.problem) == (None, None)
    assert first.expires_at - first.heartbeat_at == worker.settings.lease

    run_job(worker, queue_job(database))
    send_heartbeat(worker)
    [second] = rows(database)
    assert second.created_at == first.created_at
    assert second.heartbeat_at > first.heartbeat_at
    assert second.counts == {"attempts": 1}

    deregister(worker)
    assert rows(database) == []


def test_while_it_runs_a_job(make_worker: MakeWorker, database: Database, tmp_path: Path):
    worker = make_worker(child("(workdir / 'pid').touch(); time.sleep(600)"))
    job_id = queue_job(database)
    running = threading.Thread(target=run_job, args=(worker, job_id))
    running.start()
    wait_until(lambda: read_job(database, job_id).status is JobStatus.RUNNING)
    wait_until(lambda: worker.activity.job_id == job_id)
    send_heartbeat(worker)
    assert [row.job_id for row in rows(database)] == [job_id]
    worker.shutdown.request()
    running.join()
    assert worker.activity.job_id is None


def test_lost_workers_are_listed_for_a_day(make_worker: MakeWorker, database: Database):
    long_lost, lost, alive = (make_worker([]) for _ in range(3))
    for worker, lease in ((long_lost, timedelta(days=-2)), (lost, timedelta(hours=-1))):
        settings = worker.settings.model_copy(update={"lease": lease})
        object.__setattr__(worker, "settings", settings)
        send_heartbeat(worker)
    send_heartbeat(alive)
    assert {row.id for row in rows(database)} == {lost.id, alive.id}
    with database.reading() as session:
        assert [row.id for row in live_workers(session)] == [alive.id]


def test_lost_leases_are_counted(make_worker: MakeWorker, database: Database):
    from tests.worker.runner.test_queue_tasks import lose

    worker = make_worker(child("succeed()"))
    for _ in range(2):
        lose(database, queue_job(database))
    sweep(worker)
    assert worker.activity.counts["lease_losses"] == 2


def test_a_full_disk(make_worker: MakeWorker, database: Database):
    job_id = queue_job(database)
    worker = make_worker(child("succeed()"), min_free_bytes=2**60)
    send_heartbeat(worker)
    [row] = rows(database)
    assert "is full" in row.problem
    run_job(worker, job_id)
    assert not run_next_job(worker)
    assert (read_job(database, job_id).status, read_job(database, job_id).attempt) == (JobStatus.QUEUED, 0)


class TestDevices:
    def test_the_processor(self, tmp_path):
        [device] = find_devices(tmp_path)
        assert device.startswith("CPU, ")

    def test_gpus_that_it_may_use(self, monkeypatch, tmp_path):
        for number in range(2):
            folder = tmp_path / f"0000:0{number}:00.0"
            folder.mkdir()
            (folder / "information").write_text(f"Model: \t\t NVIDIA H{number}00\nIRQ:   \t\t 1\n")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        assert find_devices(tmp_path) == ["NVIDIA H000", "NVIDIA H100"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        assert find_devices(tmp_path) == ["NVIDIA H000"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert find_devices(tmp_path)[0].startswith("CPU, ")
