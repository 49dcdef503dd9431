"""Writing how an attempt at a job ended."""

import logging

from obstore.exceptions import BaseError as StoreError

from app.core.db import ProjectWriteSession, WriteSession, after_commit
from app.core.db.base import database_time
from app.core.db.comparisons import add_comparison
from app.core.db.datasets import get_dataset
from app.core.db.job_queue import hold_lease
from app.core.db.jobs import Job, move
from app.core.db.models import Model, add_model, lock_model
from app.core.db.stage_times import StageTimes, add_stage_times, device_name
from app.core.outages import first_line
from app.domain.job_states import JobStatus
from app.domain.planning.measured import measured_ratios
from app.domain.planning.stages import FIGURES_VERSION
from worker.runner.devices import find_devices
from worker.runner.protocol import Cancelled, Failed, Succeeded
from worker.runner.retries import retry_or_fail
from worker.runner.supervisor import Ending, Interrupted, Lost
from worker.runner.worker import Worker

logger = logging.getLogger(__name__)

SHUTDOWN = "worker_shutdown"


def conclude(
    worker: Worker, session: ProjectWriteSession, claimed: Job, ending: Ending, student_id: str | None
) -> JobStatus | None:
    """Write how an attempt ended; None where the job is no longer its own."""
    job = hold_lease(session, claimed.id, attempt=claimed.attempt, lease=worker.settings.lease)
    if job is None:
        # An answer to an earlier commit may have been lost on its way here.
        written = student_id is not None and session.get(Model, student_id) is not None
        return JobStatus.SUCCEEDED if written else None
    match ending:
        case Succeeded():
            assert student_id is not None
            _register(session, job, ending, student_id)
        case Cancelled():
            move(session, job, JobStatus.CANCELLED)
        case Interrupted():
            hand_back(worker, session, job)
        case Failed():
            retry_or_fail(session, worker.settings, job, ending)
        case Lost():
            raise AssertionError("a lost job has no owner to conclude it")
    return job.status


def hand_back(worker: Worker, session: WriteSession, job: Job) -> None:
    """Queue a job that this worker has no time for: any other may take it at once."""
    if job.cancel_requested_at is not None:
        move(session, job, JobStatus.CANCELLED)
        return
    move(session, job, JobStatus.QUEUED, reason=SHUTDOWN)
    announce(worker, session, job)


def announce(worker: Worker, session: WriteSession, job: Job) -> None:
    job.announced_at = database_time(session)
    after_commit(session, lambda: worker.queue.announce(job.id, job.queue))


def clear_output(worker: Worker, prefix: str) -> bool:
    """Delete what an attempt without a student stored; whether the store did so."""
    try:
        worker.storage.delete_prefix(prefix)
    except (StoreError, OSError) as error:
        logger.warning("could not delete %s; it is removed as an orphan later: %s", prefix, first_line(error))
        return False
    return True


def _register(session: ProjectWriteSession, job: Job, outcome: Succeeded, student_id: str) -> None:
    teacher = None if job.teacher_id is None else lock_model(session, job.teacher_id, "update")
    origin = teacher or get_dataset(session, job.dataset_id)
    student = Model(
        id=student_id,
        name=job.read_spec().student_name or f"{origin.name} / {job.method}"[:200],
        origin="job",
        manifest_json=outcome.manifest.to_stored(),
        metrics=outcome.metrics,
        job_id=job.id,
        teacher_id=job.teacher_id,
        dataset_id=job.dataset_id,
        method=job.method,
    )
    add_model(session, student)
    if teacher is not None:
        _attach_exports(teacher, outcome)
    job.student_id = student_id
    job.report = outcome.report.to_stored()
    if outcome.comparison is not None:
        add_comparison(session, job.id, outcome.comparison)
    job.progress = {**job.progress, "fraction": 1.0, "eta_s": 0.0}
    move(session, job, JobStatus.SUCCEEDED, student=student_id)
    _keep_times(session, job, outcome)


def _keep_times(session: WriteSession, job: Job, outcome: Succeeded) -> None:
    """Let later plans go by what this attempt took."""
    plan = job.read_plan()
    if plan is None or not plan.estimate.stages or outcome.stage_seconds is None:
        return
    times = StageTimes(
        device=device_name(find_devices()),
        method=job.method,
        step_products=plan.estimate.step_products,
        figures_version=FIGURES_VERSION,
        ratios=measured_ratios(plan.estimate.stages, outcome.stage_seconds),
    )
    add_stage_times(session, times)


def _attach_exports(teacher: Model, outcome: Succeeded) -> None:
    """Let a teacher that came without ONNX files be served from those that were made to measure it."""
    manifest = teacher.manifest
    missing = {key: export for key, export in outcome.teacher_exports.items() if key not in manifest.exports}
    if missing:
        manifest.exports.update(missing)
        manifest.files.entries.update(outcome.teacher_files)
        teacher.manifest_json = manifest.to_stored()
