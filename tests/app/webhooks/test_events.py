"""Which events webhooks are told of."""

import json
from datetime import timedelta

import pytest

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.job_queue import claim_job
from app.core.db.jobs import Job, lock_job, move
from app.core.db.models import Model, add_model, enqueue_deletion
from app.core.db.webhooks import (
    Webhook,
    enqueue_event,
)
from app.domain.job_states import JobStatus
from tests.app.webhooks.rows import NewWebhook, deliveries, tell


def new_job(database: Database) -> str:
    with database.of(DEFAULT_PROJECT).transaction() as session:
        job = Job(spec={}, dataset_id="dst_1", method="scratch")
        session.add(job)
        session.flush()
        return job.id


def test_events_of_jobs(database: Database, new_webhook: NewWebhook):
    new_webhook()
    for ending in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED):
        job_id = new_job(database)
        with database.transaction() as session:
            claim_job(session, job_id, owner="w", lease=timedelta(minutes=1))
        with database.of(DEFAULT_PROJECT).transaction() as session:
            job = lock_job(session, job_id)
            job.error_code, job.error_message = "killed", "It was killed."
            move(session, job, ending)
    told = [json.loads(delivery.payload) for delivery in deliveries(database)]
    assert {event["type"]: event["data"]["status"] for event in told} == {
        "job.running": "running",
        "job.succeeded": "succeeded",
        "job.failed": "failed",
        "job.cancelled": "cancelled",
    }
    [error] = [event["data"]["error"] for event in told if event["data"]["error"]]
    assert error == {"code": "killed", "message": "It was killed."}


def test_events_of_models(database: Database, new_webhook: NewWebhook):
    new_webhook()
    model = Model(name="m", origin="upload", manifest_json={})
    with database.of(DEFAULT_PROJECT).transaction() as session:
        add_model(session, model)
    with database.of(DEFAULT_PROJECT).transaction() as session:
        enqueue_deletion(session, model)
    told = [json.loads(delivery.payload) for delivery in deliveries(database)]
    assert [(event["type"], event["data"]["id"]) for event in told] == [
        ("model.created", model.id),
        ("model.ready", model.id),
        ("model.deleted", model.id),
    ]


def test_only_those_that_listen_are_told(database: Database, new_webhook: NewWebhook):
    from app.core.db.projects import Project

    with database.transaction() as session:
        session.add(Project(id="prj_" + "1" * 26, name="other"))
    listening = new_webhook("job.failed")
    new_webhook("job.running")
    new_webhook("job.failed", is_enabled=False)
    new_webhook("job.failed", project_id=DEFAULT_PROJECT)
    with database.of("prj_" + "1" * 26).transaction() as session:
        other = Webhook(url="", description="", event_types=["job.failed"], is_enabled=True, secret="")
        session.add(other)
    tell(database)
    told = {delivery.webhook_id for delivery in deliveries(database)}
    assert (listening.id in told, other.id in told, len(told)) == (True, False, 2)


def test_what_is_rolled_back_is_not_told(database: Database, new_webhook: NewWebhook):
    new_webhook()

    def fail() -> None:
        with database.transaction() as session:
            enqueue_event(session, DEFAULT_PROJECT, "job.failed", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert deliveries(database) == []
