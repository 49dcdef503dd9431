"""A search on real tables, its trials ended without training: each step is taken once, by whoever comes."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.base import database_time
from app.core.db.comparisons import add_comparison
from app.core.db.job_queue import claim_job, next_queued_job
from app.core.db.jobs import WEBHOOK_EVENTS_OF_JOBS, Job, list_events, list_jobs, lock_job, move
from app.core.db.models import Model, add_model
from app.core.db.webhooks import Webhook, WebhookDelivery
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents import JobSpec
from app.domain.documents.comparison import Comparison
from app.domain.documents.report import JobReport
from app.domain.job_states import JobStatus
from app.jobs.searching import plan_search
from app.jobs.service import cancel_job, create_job
from tests.app.jobs import shelf
from tests.worker.runner.children import model_manifest
from worker.runner.searches import advance, advance_all
from worker.runner.shutdown import Shutdown
from worker.runner.worker import Worker

LEASE = timedelta(minutes=1)


@pytest.fixture
def worker(database: Database, tmp_path) -> Worker:
    settings = Settings(data_dir=tmp_path)
    storage = Storage.from_url(settings.resolved_storage_url)
    shutdown = Shutdown()
    return Worker("worker", settings, database, storage, Queue(None), shutdown)


def begin_search(worker: Worker, **method: Any) -> str:
    on_shelf: Any = SimpleNamespace(database=worker.database)
    asked = {
        "teacher": shelf.add_model(on_shelf, shelf.ENCODER, "text_classification"),
        "dataset": shelf.add_dataset(on_shelf, "text_classification"),
        "method": {"name": "auto", "methods": ["distillation"], "budget": {"trials": 4}, **method},
    }
    database = worker.database.of(DEFAULT_PROJECT)
    with database.reading() as session:
        search = plan_search(session, JobSpec.model_validate(asked))
    with database.transaction() as session:
        return create_job(session, Queue(None), JobSpec.model_validate(asked), search=search).id


def read(worker: Worker, job_id: str) -> Job:
    with worker.database.reading() as session:
        [job] = session.scalars(select(Job).where(Job.id == job_id)).all()
        return job


def trials_of(worker: Worker, job_id: str) -> list[Job]:
    with worker.database.of(DEFAULT_PROJECT).reading() as session:
        return list(reversed(list_jobs(session, limit=100, parent=job_id)))


def told(worker: Worker, job_id: str) -> list[tuple[int, str]]:
    with worker.database.reading() as session:
        events = [
            row.read().data
            for row in list_events(session, job_id, after=0, limit=1000)
            if row.kind == "trial"
        ]
    return [(event["trial"], event["happened"]) for event in events]


def models(worker: Worker) -> set[str]:
    with worker.database.reading() as session:
        return set(session.scalars(select(Model.id).where(Model.origin == "job")))


def run_trial(worker: Worker, retained: float = 0.99) -> str | None:
    """Claim the next job and let it succeed with a student that keeps so much; its id."""
    with worker.database.transaction() as session:
        job_id = next_queued_job(session)
        if job_id is None:
            return None
        assert claim_job(session, job_id, owner="worker", lease=LEASE) is not None
    end_trial(worker, job_id, retained)
    return job_id


def end_trial(worker: Worker, job_id: str, retained: float) -> None:
    with worker.database.of(DEFAULT_PROJECT).transaction() as session:
        job = session.get(Job, job_id)
        assert job is not None
        student = Model(
            name="student", origin="job", manifest_json=model_manifest().to_stored(), job_id=job.id
        )
        add_model(session, student)
        parameters = int(1e6 / job.spec["target"]["compression_ratio"])
        job.student_id, job.report = student.id, report(parameters).to_stored()
        add_comparison(session, job.id, comparison(retained))
        move(session, job, JobStatus.SUCCEEDED, student=student.id)


def report(parameters: int) -> JobReport:
    export = {
        "file": "model.onnx",
        "size_bytes": 4 * parameters,
        "max_logit_difference": 0,
        "label_agreement": 1,
    }
    student = {
        "quality": {},
        "parameters": {"embeddings": 1, "encoder": 1, "head": 1},
        "total_parameters": parameters,
    }
    return JobReport.model_validate(
        {
            "metric": "accuracy",
            "trivial_baseline": {},
            "teacher": None,
            "ratios": None,
            "method": {},
            "seconds": {},
        }
        | {"student": student | {"exports": {"fp32": export}}}
    )


def comparison(retained: float) -> Comparison:
    kept = {"value": retained, "low": retained - 0.005, "high": retained + 0.005}
    beside = {"retained": kept, "difference": {"value": 0}, "test": None, "p_value": None}
    model = {"name": "onnx_fp32", "rows": 10, "quality": {"value": 0.9}, "beside_teacher": beside}
    split = {"rows": 10, "labelled_by_teacher": False, "models": [model]}
    environment = {"processor": "", "cores": 1, "device": "", "system": "", "versions": {}}
    return Comparison.model_validate(
        {"task": "text_classification", "metric": "accuracy", "resamples": 1, "seed": 0, "latencies": []}
        | {"splits": {"dev": split}, "environment": environment}
    )


def run_to_end(worker: Worker, search: str, retained: float) -> None:
    advance(worker, search)
    while run_trial(worker, retained) is not None:
        advance(worker, search)


def test_a_search_ends_with_its_best_student(worker):
    search = begin_search(worker)
    run_to_end(worker, search, 0.99)
    job = read(worker, search)
    assert job.status is JobStatus.SUCCEEDED
    state = job.read_search()
    assert state is not None
    assert state.outcome.best is not None
    best = state.trials[state.outcome.best.trial - 1]
    assert job.student_id == best.student
    [found] = best.measurements
    assert found.parameters == min(trial.measurements[0].parameters for trial in state.trials)
    assert models(worker) == {best.student}, "those that others beat in both are deleted"
    happened = [what for _, what in told(worker, search)]
    assert [happened.count(what) for what in ("started", "result", "dropped")] == [4, 4, 4]


def test_no_worker_takes_or_holds_the_search_itself(worker):
    search = begin_search(worker)
    with worker.database.transaction() as session:
        assert next_queued_job(session) is None
        assert claim_job(session, search, owner="worker", lease=LEASE) is None
    advance(worker, search)
    job = read(worker, search)
    assert (job.status, job.lease_owner, job.lease_expires_at) == (JobStatus.RUNNING, None, None)


def test_many_workers_take_a_step_once(worker):
    search = begin_search(worker)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: advance(worker, search), range(8)))
    jobs = trials_of(worker, search)
    assert len(jobs) == 4
    for _ in jobs:
        run_trial(worker)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: advance(worker, search), range(8)))
    assert [what for _, what in told(worker, search)].count("result") == 4
    assert read(worker, search).status is JobStatus.SUCCEEDED


def test_a_sweep_takes_the_step_of_a_worker_that_was_lost(worker):
    search = begin_search(worker)
    advance_all(worker)
    for _ in range(4):
        run_trial(worker, 0.9)  # and nobody advances the search
    advance_all(worker)
    [promoted] = [number for number, what in told(worker, search) if what == "promoted"]
    assert trials_of(worker, search)[promoted - 1].status is JobStatus.QUEUED
    run_trial(worker, 0.9)
    advance_all(worker)
    job = read(worker, search)
    assert (job.status, job.student_id) == (JobStatus.SUCCEEDED, None)
    state = job.read_search()
    assert state is not None
    assert [unmet.goal for unmet in state.outcome.unmet] == ["retain"]


@pytest.mark.parametrize(("keep", "status"), [(False, JobStatus.CANCELLED), (True, JobStatus.SUCCEEDED)])
def test_cancelling_ends_the_trials_too(worker, keep, status):
    search = begin_search(worker)
    advance(worker, search)
    run_trial(worker)
    advance(worker, search)
    with worker.database.transaction() as session:
        running = next_queued_job(session)
        assert running is not None
        claim_job(session, running, owner="worker", lease=LEASE)
    with worker.database.of(DEFAULT_PROJECT).transaction() as session:
        cancel_job(session, search, keep=keep)
    advance(worker, search)
    jobs = {job.id: job for job in trials_of(worker, search)}
    assert jobs[running].cancel_requested_at is not None
    assert read(worker, search).status is JobStatus.RUNNING, "it waits for the worker of the running trial"
    assert {job.status for job in jobs.values()} == {
        JobStatus.SUCCEEDED,
        JobStatus.CANCELLED,
        JobStatus.RUNNING,
    }
    with worker.database.transaction() as session:
        move(session, session.merge(jobs[running]), JobStatus.CANCELLED)
    advance(worker, search)
    assert read(worker, search).status is status
    assert len(models(worker)) == int(keep)


def test_a_cancellation_by_an_api_that_knows_no_searches_counts(worker):
    search = begin_search(worker)
    advance(worker, search)
    with worker.database.of(DEFAULT_PROJECT).transaction() as session:
        job = lock_job(session, search)
        job.cancel_requested_at = database_time(session)
    advance_all(worker)
    assert {job.status for job in trials_of(worker, search)} == {JobStatus.CANCELLED}
    ended = read(worker, search)
    state = ended.read_search()
    assert state is not None
    assert (ended.status, state.stop, state.is_over) == (JobStatus.CANCELLED, "cancel", True)


def test_failed_trials_fail_the_search(worker):
    search = begin_search(worker, budget={"trials": 1})
    advance(worker, search)
    [job] = trials_of(worker, search)
    with worker.database.transaction() as session:
        job = session.merge(job)
        job.error_code, job.error_message = "teacher_not_trained", "Train it first."
        move(session, job, JobStatus.FAILED)
    advance(worker, search)
    ended = read(worker, search)
    assert (ended.status, ended.error_code) == (JobStatus.FAILED, "search_failed")
    assert ended.error_message == "All 1 trials failed. The first: Train it first."


def test_webhooks_are_told_of_the_search_and_not_of_its_trials(worker):
    events = list(WEBHOOK_EVENTS_OF_JOBS.values())
    with worker.database.transaction() as session:
        session.add(
            Webhook(url="https://x", description="", event_types=events, is_enabled=True, secret="whsec_eA==")
        )
    search = begin_search(worker, budget={"trials": 1})
    run_to_end(worker, search, 0.99)
    with worker.database.reading() as session:
        told_of = [
            json.loads(text)["data"]["id"] for text in session.scalars(select(WebhookDelivery.payload))
        ]
    assert set(told_of) == {search}


def test_trials_are_listed_under_their_search_alone(worker):
    search = begin_search(worker)
    advance(worker, search)
    with worker.database.of(DEFAULT_PROJECT).reading() as session:
        assert [job.id for job in list_jobs(session, limit=10)] == [search]
        assert session.scalar(select(func.count()).select_from(Job)) == 5
