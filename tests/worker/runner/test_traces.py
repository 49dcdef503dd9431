"""Attempts as a collector of traces sees them."""

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.jobs import lock_job
from tests.collector import Collector
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, queue_job
from worker.runner.queue_tasks import run_job

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = "00f067aa0ba902b7"
STAGES = """
for stage in ("loading", "training", "training", "evaluating"):
    events.send(Progress(stage=stage, step=0, total_steps=1, fraction=0.5))
"""
IMPORTS = "from app.domain.documents.events import Progress\n"


def queue_traced_job(database: Database) -> str:
    job_id = queue_job(database)
    with database.of(DEFAULT_PROJECT).transaction() as session:
        lock_job(session, job_id).trace_context = f"00-{TRACE}-{REQUEST}-01"
    return job_id


def test_an_attempt_and_its_stages(make_worker: MakeWorker, database: Database, collector: Collector):
    job_id = queue_traced_job(database)
    run_job(make_worker(child(IMPORTS + STAGES + "succeed()")), job_id)
    spans = collector.spans()
    attempt = spans.pop("attempt")
    assert (attempt.trace_id, attempt.parent_id, attempt.kind) == (TRACE, REQUEST, "CONSUMER")
    assert not attempt.is_error
    assert attempt.attributes == {
        "squeeze.project_id": DEFAULT_PROJECT,
        "squeeze.job_id": job_id,
        "squeeze.attempt": 1,
        "squeeze.method": "fine_tuning",
        "squeeze.queue": "squeeze",
        "squeeze.outcome": "succeeded",
    }
    names = ["fetching", "loading", "training", "evaluating", "storing"]
    assert sorted(spans) == sorted(f"stage {name}" for name in names)
    assert {(stage.trace_id, stage.parent_id) for stage in spans.values()} == {(TRACE, attempt.span_id)}
    assert sum(stage.seconds for stage in spans.values()) <= attempt.seconds


def test_an_attempt_that_fails(make_worker: MakeWorker, database: Database, collector: Collector):
    job_id = queue_traced_job(database)
    failed = "write_outcome(workdir, request, Failed(code='teacher_not_trained', message='confidential'))"
    run_job(make_worker(child(failed)), job_id)
    attempt = collector.spans()["attempt"]
    assert (attempt.is_error, attempt.attributes["error.type"]) == (True, "teacher_not_trained")
    assert attempt.attributes["squeeze.outcome"] == "failed"
    assert b"confidential" not in b"".join(collector.bodies)
