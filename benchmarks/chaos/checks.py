"""What must be so when the faults are over: each check lists what is wrong, in words."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import redis
from sqlalchemy import func, select, text

from app.core.db import Database
from app.core.db.checkpoints import JobCheckpoint
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job, JobEvent
from app.core.db.models import Model
from app.core.db.orphans import Orphan
from app.domain.reports.card import CARD
from benchmarks.chaos.client import Client, Json, Submitted, student_of
from benchmarks.chaos.cluster import Cluster

_MAY_FOLLOW = {
    "queued": {"running", "cancelled"},
    "running": {"queued", "succeeded", "failed", "cancelled"},
}


def lost(jobs: Sequence[Submitted]) -> list[str]:
    """Jobs that were accepted and have not ended."""
    return [f"{job.id} is {job.status}" for job in jobs if not job.has_ended]


def failed(client: Client, jobs: Sequence[Submitted]) -> list[str]:
    """An undisturbed job of each kind succeeded: whatever failed, the platform did."""
    unsuccessful = [job.id for job in jobs if job.has_ended and job.status != "succeeded"]
    return [f"{job_id}: {client.get(f'/v1/jobs/{job_id}')['error']}" for job_id in unsuccessful]


def twice(database: Database, jobs: int) -> list[str]:
    """Students of one job, and jobs and data sets of one request.

    Args:
        database: that of the service.
        jobs: for how many a client has asked, a data set each.
    """
    with database.reading() as session:
        students = session.execute(
            select(Model.job_id, func.count()).where(Model.job_id.is_not(None)).group_by(Model.job_id)
        ).all()
        created = {table: session.scalar(select(func.count()).select_from(table)) for table in (Job, Dataset)}
    found = [f"{job_id} has {count} students" for job_id, count in students if count > 1]
    for table, count in created.items():
        if count != jobs:
            found.append(f"{count} {table.__tablename__} for {jobs} requests")
    return found


def impossible_histories(database: Database) -> list[str]:
    """Jobs whose statuses do not follow from one another, or that tell of something after their end."""
    with database.reading() as session:
        events = session.scalars(select(JobEvent).order_by(JobEvent.job_id, JobEvent.seq)).all()
    found = []
    for job_id in sorted({event.job_id for event in events}):
        own = [event for event in events if event.job_id == job_id]
        changes = [event.data for event in own if event.kind == "status"]
        for before, after in pairwise(changes):
            attempts = after["attempt"] - before["attempt"]
            is_begun = after["status"] == "running"
            if after["status"] not in _MAY_FOLLOW.get(before["status"], set()) or attempts != is_begun:
                found.append(f"{job_id}: {after} after {before}")
        if own[-1].kind != "status":
            found.append(f"{job_id}: {own[-1].kind} after its end")
    return found


def different(client: Client, jobs: Sequence[Submitted], expected: Mapping[int, Json]) -> list[str]:
    """Students whose files or metrics are not those of an undisturbed job of their kind."""
    found = []
    for job in jobs:
        if job.status == "succeeded":
            student, other = student_of(client, job), expected[job.kind]
            entries, wanted = (each["manifest"]["files"]["entries"] for each in (student, other))
            names = {name for name in entries.keys() | wanted if entries.get(name) != wanted.get(name)}
            names.discard(CARD)  # it has the job's id and its times
            if names:
                found.append(f"{job.id}: {', '.join(sorted(names))}")
            if student["metrics"] != other["metrics"]:
                found.append(f"{job.id}: {student['metrics']} instead of {other['metrics']}")
    return found


def damaged_files(client: Client, jobs: Sequence[Submitted]) -> list[str]:
    """Files of students that are missing, or are not what their manifest says."""
    found = []
    for job in jobs:
        if job.status == "succeeded":
            student = student_of(client, job)
            for name, entry in student["manifest"]["files"]["entries"].items():
                response = client.request("GET", f"/v1/models/{student['id']}/artifacts/{name}")
                if hashlib.sha256(response.content).hexdigest() != entry["sha256"]:
                    found.append(f"{job.id}: {name} ({response.status_code})")
    return found


def orphans(cluster: Cluster, database: Database) -> list[str]:
    """What is left of jobs and requests that are over: objects, folders, rows, messages and connections."""
    return [
        *_objects(cluster, database),
        *_folders(cluster),
        *_rows(database),
        *_messages(cluster),
        *_open_transactions(database),
    ]


def orphan_processes(cluster: Cluster) -> list[str]:
    """To be asked when everything was told to stop."""
    return [f"process {pid}" for pid in cluster.leftover_processes()]


def attempts(database: Database, jobs: Sequence[Submitted]) -> Mapping[str, int]:
    """How many attempts the jobs took, and why those that failed did."""
    ids = [job.id for job in jobs]
    with database.reading() as session:
        total = session.scalar(select(func.sum(Job.attempt)).where(Job.id.in_(ids))) or 0
        events = session.scalars(
            select(JobEvent.data).where(JobEvent.job_id.in_(ids), JobEvent.kind == "status")
        )
        reasons = Counter(f"retried: {data['reason']}" for data in events if data.get("reason"))
    return {"attempts": total} | dict(sorted(reasons.items()))


def _objects(cluster: Cluster, database: Database) -> list[str]:
    with database.reading() as session:
        manifests = [*session.scalars(select(Model)), *session.scalars(select(Dataset))]
    named = {
        f"{row.manifest.files.prefix}/{name}" for row in manifests for name in row.manifest.files.entries
    }
    stored = set(cluster.storage().keys(""))
    return [f"object {key}" for key in sorted(stored - named)] + [
        f"missing object {key}" for key in sorted(named - stored)
    ]


def _folders(cluster: Cluster) -> list[str]:
    places = [cluster.folder / "api", *(host.folder for host in cluster.hosts)]
    found = [path for place in places for path in (place / "tmp").glob("squeeze-*")]
    for host in cluster.hosts:
        found += host.work_dir.glob("*")
        found += (host.folder / "data" / "cache").rglob("*.partial")
    return [f"file {path.relative_to(cluster.folder)}" for path in sorted(found)]


def _rows(database: Database) -> list[str]:
    with database.reading() as session:
        checkpoints = session.scalars(select(JobCheckpoint.key)).all()
        noted = session.scalars(select(Orphan.prefix)).all()
        owned = session.scalars(select(Job.id).where(Job.lease_owner.is_not(None))).all()
    return [
        *(f"row of the checkpoint {PurePosixPath(key).name}" for key in checkpoints),
        *(f"row of the orphan {prefix}" for prefix in noted),
        *(f"owner of {job_id}" for job_id in owned),
    ]


def _messages(cluster: Cluster) -> list[str]:
    with redis.Redis(port=cluster.broker_port) as client:
        waiting = {name: client.llen(name) for name in cluster.settings.queues}
    return [f"{count} messages in {name}" for name, count in waiting.items() if count]


def _open_transactions(database: Database) -> list[str]:
    query = "select application_name from pg_stat_activity where state like 'idle in transaction%'"
    with database.reading() as session:
        return [f"transaction of {name}" for name in session.scalars(text(query))]
