"""Which workers run, and what a job and the metrics say where one is missing."""

from datetime import timedelta
from typing import Any

import pytest

from app.core.db import Database
from app.core.db.jobs import Job
from app.core.db.workers import record_heartbeat
from app.core.ids import new_id
from app.domain.documents import JobSpec
from app.domain.documents.plan import Plan
from tests.app.conftest import Api

DATASET = "dst_00000000000000000000000000"
SPEC = {
    "version": JobSpec.newest_version(),
    "dataset": DATASET,
    "method": {"name": "scratch"},
    "target": {"compression_ratio": 2},
}
LEASE = timedelta(seconds=30)


def add_worker(database: Database, *, lease: timedelta = LEASE, **facts: Any) -> str:
    worker_id = new_id("wrk")
    told = {
        "name": f"host-{worker_id[-4:]}",
        "host": "host",
        "version": "0.1.0",
        "queues": ["squeeze"],
        "methods": ["scratch"],
        "documents": {"job spec": JobSpec.newest_version(), "plan": Plan.newest_version()},
        "devices": ["CPU, 2 cores"],
        "job_id": None,
        "problem": None,
        "counts": {"attempts": 3, "lease_losses": 1},
    }
    with database.transaction() as session:
        record_heartbeat(session, worker_id, told | facts, lease=lease)
    return worker_id


def add_job(database: Database, queue: str = "squeeze") -> str:
    with database.transaction() as session:
        job = Job(spec=SPEC, dataset_id=DATASET, method="scratch", queue=queue)
        session.add(job)
        session.flush()
        return job.id


def status_message(api: Api, job_id: str) -> str | None:
    job = api.http.get(f"/v1/jobs/{job_id}").json()
    listed = {row["id"]: row for row in api.http.get("/v1/jobs").json()["data"]}
    assert listed[job_id] == job
    return job["status_message"]


def test_a_list_of_workers(api_on_both):
    api = api_on_both
    lost = add_worker(api.database, lease=-LEASE)
    job = new_id("job")
    busy = add_worker(api.database, job_id=job, queues=["gpu", "squeeze"], devices=["NVIDIA H200"])
    page = api.http.get("/v1/workers").json()
    assert [(row["id"], row["status"]) for row in page["data"]] == [(busy, "alive"), (lost, "lost")]
    worker = page["data"][0]
    assert (worker["object"], worker["job"], worker["queues"]) == ("worker", job, ["gpu", "squeeze"])
    assert worker["devices"] == ["NVIDIA H200"]
    assert worker["heartbeat_at"] >= worker["created_at"]
    first = api.http.get("/v1/workers", params={"limit": 1}).json()
    assert first["has_more"]
    second = api.http.get("/v1/workers", params={"limit": 1, "after": first["next"]}).json()
    assert [row["id"] for row in second["data"]] == [lost]


class TestJobsThatWait:
    def test_for_any_worker(self, api):
        job_id = add_job(api.database)
        nobody = "No worker is running that takes jobs from the queue 'squeeze'."
        assert status_message(api, job_id) == nobody
        add_worker(api.database, lease=-LEASE)
        add_worker(api.database, queues=["gpu"])
        assert status_message(api, job_id) == nobody
        add_worker(api.database)
        assert status_message(api, job_id) is None

    @pytest.mark.parametrize("lacks", [{"methods": ["fine_tuning"]}, {"documents": {"job spec": 1}}])
    def test_for_one_of_a_later_version(self, api, lacks):
        job_id = add_job(api.database)
        add_worker(api.database, **lacks)
        assert "Update the workers" in status_message(api, job_id)
        add_worker(api.database)
        assert status_message(api, job_id) is None

    def test_for_one_with_room_on_its_disk(self, api):
        job_id = add_job(api.database)
        add_worker(api.database, problem="The disk is full.")
        assert status_message(api, job_id).endswith("The disk is full.")
        assert api.http.get("/readyz").json()["workers"] == "full"
        add_worker(api.database)
        assert status_message(api, job_id) is None
        assert api.http.get("/readyz").json()["workers"] == "ok"

    def test_not_once_they_have_ended(self, api):
        job_id = add_job(api.database)
        assert api.http.post(f"/v1/jobs/{job_id}/cancel").json()["status_message"] is None
        assert status_message(api, job_id) is None


@pytest.mark.parametrize("has_worker", [False, True])
def test_metrics(api, has_worker):
    add_job(api.database)
    add_job(api.database, "gpu")
    if has_worker:
        add_worker(api.database, name="host-1")
        add_worker(api.database, lease=-LEASE, name="host-2")
    lines = api.http.get("/metrics").text.splitlines()
    for queue in ("gpu", "squeeze"):
        assert f'squeeze_queue_jobs{{queue="{queue}"}} 1.0' in lines
        [age] = [line for line in lines if line.startswith(f'squeeze_queue_age_seconds{{queue="{queue}"}}')]
        assert 0 <= float(age.split()[1]) < 60
    assert f'squeeze_queue_workers{{queue="squeeze"}} {float(has_worker)}' in lines
    assert f"squeeze_workers {float(has_worker)}" in lines
    assert ('squeeze_worker_attempts_total{worker="host-1"} 3.0' in lines) is has_worker
    assert ('squeeze_worker_lease_losses_total{worker="host-1"} 1.0' in lines) is has_worker
    assert "host-2" not in "\n".join(lines)
