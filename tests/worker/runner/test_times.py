"""What clients hear of the time of a job, and what later plans hear of the times of its stages."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.core.db import Database
from app.core.db.jobs import Job
from app.core.db.stage_times import StageTimes, device_name, stage_times_on
from app.domain.documents import TrainingSpec
from app.domain.documents.plan import Plan
from app.domain.planning import TypicalRow, Workload, estimate, plan_student
from app.domain.planning.stages import FIGURES_VERSION, STARTING, TRAINING
from app.domain.tasks import Head
from tests.processes import wait_until
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, model_manifest, queue_job, read_job, running
from worker.runner.devices import find_devices
from worker.runner.queue_tasks import run_job

STEPS = """
from app.domain.documents.events import Progress
def take(*steps):
    for step in steps:
        events.send(Progress(stage="fine_tuning", step=step, total_steps=100))
        time.sleep(0.02)
"""


def queue_planned_job(database: Database) -> str:
    job_id = queue_job(database)
    architecture = model_manifest().architecture
    with database.transaction() as session:
        job = session.get(Job, job_id)
        assert job is not None
        spec = job.read_spec()
        head = Head.of("text_classification", labels=2, vocabulary=100)
        work = Workload(
            student=architecture,
            method=spec.method,
            head=head,
            rows=100,
            row=TypicalRow(tokens=10),
            training=TrainingSpec(epochs=1),
            given=architecture,
        )
        student = plan_student(architecture, spec.method, None, head=head)
        job.plan = Plan(teacher=None, student=student, estimate=estimate(work)).to_stored()
    return job_id


def kept_times(database: Database) -> list[StageTimes]:
    with database.reading() as session:
        return list(
            stage_times_on(
                session, {device_name(find_devices())}, method="scratch", figures_version=FIGURES_VERSION
            )
        )


def test_time_left_is_told_while_a_process_says_nothing(
    make_worker: MakeWorker, database: Database, tmp_path: Path
):
    """The bar goes on by itself: no heartbeat finds it where the last one did."""
    silent = STEPS + "take(0)\n(workdir / 'pid').write_text(str(os.getpid()))\nsys.stdin.read()"
    worker = make_worker(child(silent), heartbeat=timedelta(milliseconds=50))
    job_id = queue_planned_job(database)
    with running(worker, job_id, tmp_path):
        wait_until(lambda: read_job(database, job_id).progress.get("stage") == "fine_tuning")
        first = read_job(database, job_id).progress
        wait_until(lambda: read_job(database, job_id).progress["fraction"] > first["fraction"])
        assert first["eta_s"] > 0
        assert (first["step"], first["total_steps"]) == (0, 100)
        worker.shutdown.request()


def test_the_times_of_an_attempt_that_succeeded_are_kept(make_worker: MakeWorker, database: Database):
    job_id = queue_planned_job(database)
    run_job(make_worker(child(STEPS + "take(0, 50, 100)\nsucceed()")), job_id)
    [times] = kept_times(database)
    assert times.method == "fine_tuning"
    plan = read_job(database, job_id).read_plan()
    assert plan is not None
    assert times.step_products == pytest.approx(plan.estimate.step_products)
    assert {"fetching", STARTING, TRAINING, "storing"} <= set(times.ratios)
    assert "exporting" not in times.ratios  # it did not come to that
    assert all(ratio > 0 for ratio in times.ratios.values())


@pytest.mark.parametrize(
    "body",
    ["take(60, 100)\nsucceed()", "write_outcome(workdir, request, Failed(code='x', message='y'))"],
    ids=["resumed", "failed"],
)
def test_those_of_others_are_not(make_worker: MakeWorker, database: Database, body: str):
    run_job(make_worker(child(STEPS + body)), queue_planned_job(database))
    assert kept_times(database) == []
