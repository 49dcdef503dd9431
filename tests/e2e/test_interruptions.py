"""What a client sees when workers die, restart or are told to stop."""

from pathlib import Path

import pytest

from app.core.queue import Queue
from tests.e2e.conftest import Json, Stack, has_ended, is_training
from tests.processes import children, is_alive, wait_until

pytestmark = pytest.mark.e2e

LONG = {"epochs": 24}
SHORT = {"epochs": 1}
ENDLESS = {"epochs": 1000, "evaluations": 1}


def pipelines(worker: int) -> list[int]:
    """The processes of a worker's jobs: forks of its only child."""
    return [job for server in children(worker) for job in children(server)]


def students_of(stack: Stack, job: Json) -> list[str]:
    models = stack.get("/v1/models?limit=100")["data"]
    return [model["id"] for model in models if model["lineage"]["job"] == job["id"]]


def test_a_killed_worker_loses_no_job(stack: Stack, tmp_path: Path):
    [first] = stack.have_workers(1)
    encoder, dataset = stack.upload(tmp_path)
    job = stack.start_job(encoder, dataset, training=LONG, exports=["fp32"])
    stack.wait_for(job, is_training)
    orphans = pipelines(first.pid)
    assert len(orphans) == 1
    first.kill()
    first.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in orphans), timeout_s=5)

    stack.have_workers(1)
    job = stack.wait_for_end(job)
    assert (job["status"], job["error"], job["attempt"]) == ("succeeded", None, 2), stack.logs()
    assert students_of(stack, job) == [job["student"]]
    events = stack.get(f"/v1/jobs/{job['id']}/events?limit=100")["data"]
    statuses = [event["data"]["status"] for event in events if event["kind"] == "status"]
    assert statuses == ["queued", "running", "queued", "running", "succeeded"]


def test_a_worker_that_is_stopped_hands_its_job_over(stack: Stack, tmp_path: Path):
    [first] = stack.have_workers(1)
    encoder, dataset = stack.upload(tmp_path)
    job = stack.start_job(encoder, dataset, training=LONG, exports=["fp32"])
    stack.wait_for(job, is_training)
    wait_until(lambda: stack.get("/v1/workers")["data"])
    [worker] = stack.get("/v1/workers")["data"]
    assert (worker["status"], worker["queues"]) == ("alive", ["squeeze"])
    first.terminate()
    assert first.wait(timeout=10) == 0
    job = stack.get(f"/v1/jobs/{job['id']}")
    assert (job["status"], job["attempt"]) == ("queued", 1), "not a lease later: at once"

    assert stack.get("/v1/workers")["data"] == []
    assert "No worker is running" in job["status_message"]

    stack.have_workers(1)
    job = stack.wait_for_end(job)
    assert (job["status"], job["error"], job["attempt"]) == ("succeeded", None, 2), stack.logs()
    assert students_of(stack, job) == [job["student"]]


def test_a_running_job_is_cancelled_promptly(stack: Stack, tmp_path: Path):
    [worker] = stack.have_workers(1)
    encoder, dataset = stack.upload(tmp_path)
    job = stack.start_job(encoder, dataset, training=ENDLESS, exports=["fp32"])
    stack.wait_for(job, is_training)
    stack.post(f"/v1/jobs/{job['id']}/cancel")
    job = stack.wait_for(job, has_ended, timeout_s=60)
    assert job["status"] == "cancelled"
    assert job["student"] is None
    assert students_of(stack, job) == []
    wait_until(lambda: pipelines(worker.pid) == [])


def test_a_duplicate_announcement_runs_once(stack: Stack, tmp_path: Path):
    stack.have_workers(2)
    encoder, dataset = stack.upload(tmp_path)
    job = stack.start_job(encoder, dataset, training=SHORT)
    queue = Queue(stack.settings.broker_url)
    for _ in range(3):
        queue.announce(job["id"], queue.name)
    queue.close()
    job = stack.wait_for_end(job)
    assert (job["status"], job["error"], job["attempt"]) == ("succeeded", None, 1), stack.logs()
    assert students_of(stack, job) == [job["student"]]
