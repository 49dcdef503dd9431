"""Running the jobs of the queue, one at a time."""

import logging
import shutil
import time
from collections.abc import Callable

from pydantic import ValidationError

from app.core import telemetry
from app.core.db import ProjectDatabase, ProjectReadSession, ProjectWriteSession
from app.core.db.checkpoints import JobCheckpoint, list_checkpoints
from app.core.db.datasets import get_dataset
from app.core.db.job_queue import claim_job, next_queued_job
from app.core.db.jobs import Job
from app.core.db.models import get_model
from app.core.ids import new_id
from app.core.logging import log_context
from app.core.outages import first_line
from app.domain.documents.manifest import FileEntry
from app.domain.errors import NewerVersion, SqueezeError
from app.domain.job_states import JobStatus
from worker.runner.conclusion import clear_output, conclude
from worker.runner.machine_failures import machine_failure
from worker.runner.prefixes import checkpoint_prefix, output_prefix
from worker.runner.protocol import DatasetRef, Failed, JobRequest, ModelRef, StoredCheckpoint
from worker.runner.registration import find_problem
from worker.runner.searches import advance
from worker.runner.supervisor import Ending, Lost, supervise
from worker.runner.watch import DATABASE_AWAY
from worker.runner.workdir import job_folder, open_workdir
from worker.runner.worker import ATTEMPTS, Worker

logger = logging.getLogger(__name__)


def run_job(worker: Worker, job_id: str) -> None:
    """Take a queued job and see it to an end; one that another worker has, or that has ended, is let be."""
    with worker.slot:
        if worker.shutdown.requested or find_problem(worker) is not None:
            return
        claimed_at = time.monotonic()
        with worker.database.transaction() as session:
            job = claim_job(
                session,
                job_id,
                owner=worker.name,
                lease=worker.settings.lease,
                accepts=lambda job: _understands(worker, job),
            )
        if job is None:
            advance(worker, job_id)  # if it is a search
            return
        span = telemetry.span("attempt", _attributes(job), kind="consumer", parent=job.trace_context)
        with (
            span,
            log_context(project_id=job.project_id, job_id=job.id, attempt=str(job.attempt), **span.ids),
        ):
            logger.info("job %s: attempt %d", job.id, job.attempt)
            worker.activity.job_id = job.id
            worker.activity.counts[ATTEMPTS] += 1
            try:
                ending = _attempt(worker, job, claimed_at)
            finally:
                worker.activity.job_id = None
            span.set({"squeeze.outcome": type(ending).__name__.lower()})
            if isinstance(ending, Failed):
                span.fail(ending.code)
            logger.info("job %s: attempt %d ended as %s", job.id, job.attempt, type(ending).__name__)
        if job.parent_id is not None:
            advance(worker, job.parent_id)


def run_next_job(worker: Worker) -> bool:
    """Run the oldest queued job, if this worker has its hands free; whether there was one."""
    if worker.slot.locked() or find_problem(worker) is not None:
        return False
    with worker.database.transaction() as session:
        job_id = next_queued_job(session, worker.settings.queues, except_for=worker.activity.left)
    if job_id is None:
        return False
    run_job(worker, job_id)
    return True


def _attributes(job: Job) -> telemetry.Attributes:
    return {
        "squeeze.project_id": job.project_id,
        "squeeze.job_id": job.id,
        "squeeze.attempt": job.attempt,
        "squeeze.method": job.method,
        "squeeze.queue": job.queue,
    }


def _understands(worker: Worker, job: Job) -> bool:
    """Whether this version can run the job; it leaves others in the queue, for workers of a later one.

    What is wrong with a job in another way comes out when it is begun.
    """
    try:
        job.read_attempt_record()
        with worker.database.of(job.project_id).reading() as session:
            _build_request(worker, session, job)
    except NewerVersion as error:
        if job.id not in worker.activity.left:
            worker.activity.left.append(job.id)
            logger.info("job %s is left to workers of a later version: %s", job.id, error.message)
        return False
    except (SqueezeError, ValidationError):
        return True
    return True


def _attempt(worker: Worker, job: Job, claimed_at: float) -> Ending:
    database = worker.database.of(job.project_id)  # what another project has does not exist for this job
    try:
        with database.transaction() as session:
            request = _build_request(worker, session, job)
    except (SqueezeError, ValidationError) as error:
        logger.exception("job %s cannot be started", job.id)
        code = error.code if isinstance(error, SqueezeError) else "invalid_spec"
        ending: Ending = Failed(code=code, message=f"The job cannot be started: {error}")
        student_id = None
    else:
        student_id = request.student_id
        ending = _supervise(worker, request, claimed_at)
    if isinstance(ending, Lost):
        clear_output(worker, output_prefix(job))
        return ending
    try:
        status = _retrying(
            worker, database, lambda session: conclude(worker, session, job, ending, student_id)
        )
    except DATABASE_AWAY:
        # Whether it was written is unknown. If not, the sweeper clears the files once the lease expires.
        logger.exception("job %s: could not store its outcome", job.id)
        return Lost()
    if status is not JobStatus.SUCCEEDED:  # only now: a store that is away takes its time
        clear_output(worker, output_prefix(job))
    if status is None:
        return Lost()
    if status.is_terminal:  # this attempt ended the job: there is none that could still use the folder
        shutil.rmtree(job_folder(worker.settings.work_dir, job.id), ignore_errors=True)
    return ending


def _supervise(worker: Worker, request: JobRequest, claimed_at: float) -> Ending:
    try:
        return supervise(
            request,
            workdir=open_workdir(worker.settings.work_dir, request.job_id, request.attempt),
            claimed_at=claimed_at,
            database=worker.database,
            storage=worker.storage,
            settings=worker.settings,
            shutdown=worker.shutdown,
            launch=worker.launch,
        )
    except OSError as error:
        logger.exception("job %s: the attempt could not be started or watched", request.job_id)
        return machine_failure(error)


def _build_request(worker: Worker, session: ProjectReadSession, job: Job) -> JobRequest:
    spec = job.read_spec()
    dataset = get_dataset(session, spec.dataset)
    settings = worker.settings
    return JobRequest(
        job_id=job.id,
        attempt=job.attempt,
        spec=spec,
        plan=job.read_plan(),
        student_id=new_id("mdl"),
        inputs={given.role: _model_ref(session, given.model_id) for given in spec.inputs},
        dataset=DatasetRef(id=dataset.id, manifest=dataset.manifest),
        cache_dir=settings.cache_dir.resolve() / job.project_id,
        checkpoint_interval_s=settings.checkpoint_interval.total_seconds(),
        checkpoints=[_checkpoint_ref(row) for row in list_checkpoints(session, job.id)],
        onnx_tolerance=settings.onnx_tolerance,
        int8_min_agreement=settings.int8_min_agreement,
        output_prefix=output_prefix(job),
        checkpoint_prefix=checkpoint_prefix(job),
    )


def _checkpoint_ref(row: JobCheckpoint) -> StoredCheckpoint:
    file = FileEntry(sha256=row.sha256, size_bytes=row.size_bytes)
    return StoredCheckpoint(key=row.key, step=row.step, file=file)


def _model_ref(session: ProjectReadSession, model_id: str) -> ModelRef:
    return ModelRef(id=model_id, manifest=get_model(session, model_id).manifest)


def _retrying(
    worker: Worker, database: ProjectDatabase, write: Callable[[ProjectWriteSession], JobStatus | None]
) -> JobStatus | None:
    """Write an attempt's end, waiting for a database that is away for up to a lease: hours may hang on it."""
    deadline = time.monotonic() + worker.settings.lease.total_seconds()
    while True:
        try:
            with database.transaction() as session:
                return write(session)
        except DATABASE_AWAY as error:
            if time.monotonic() >= deadline:
                raise
            logger.warning("could not store the outcome of a job; retrying: %s", first_line(error))
            time.sleep(1)
