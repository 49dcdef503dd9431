"""What a worker does: run one job, and look for jobs that nobody takes care of."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from obstore.exceptions import BaseError as StoreError
from pydantic import ValidationError

from app.core.db import Database, WriteSession, after_commit
from app.core.db.base import database_time
from app.core.db.datasets import get_dataset
from app.core.db.jobs import (
    Job,
    claim_job,
    count_requeues,
    expired_jobs,
    get_job,
    hold_lease,
    lock_expired_job,
    lock_unannounced_job,
    move,
    next_queued_job,
    unannounced_jobs,
)
from app.core.db.models import Model, get_model, lock_model
from app.core.ids import new_id
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents import JobSpec
from app.domain.errors import NotFound, SqueezeError
from app.domain.job_states import JobStatus
from app.domain.methods import WeightSqueezingSpec
from worker.runner.protocol import Cancelled, DatasetRef, Failed, JobRequest, ModelRef, Succeeded
from worker.runner.shutdown import Shutdown
from worker.runner.supervisor import DATABASE_AWAY, PIPELINE, Ending, Interrupted, Lost, supervise
from worker.runner.workdir import job_folder, open_workdir

logger = logging.getLogger(__name__)

SHUTDOWN = "worker_shutdown"
WORKER_LOST = "worker_lost"

_ABANDONED_S = 24 * 3600
"""Age of a half-written file of the cache that nobody writes any more: no output takes so long."""


@dataclass(frozen=True)
class Worker:
    """What the tasks stand on."""

    name: str
    settings: Settings
    database: Database
    storage: Storage
    queue: Queue
    shutdown: Shutdown
    command: Sequence[str] = PIPELINE
    slot: threading.Lock = field(default_factory=threading.Lock)
    """Held while a job runs: this process takes one at a time, whoever brings it."""


def run_job(worker: Worker, job_id: str) -> None:
    """Take a queued job and see it to an end; one that another worker has, or that has ended, is let be."""
    with worker.slot:
        if worker.shutdown.requested:
            return
        claimed_at = time.monotonic()
        with worker.database.transaction() as session:
            job = claim_job(session, job_id, owner=worker.name, lease=worker.settings.lease)
        if job is None:
            return
        logger.info("job %s: attempt %d", job.id, job.attempt)
        ending = _attempt(worker, job, claimed_at)
        logger.info("job %s: attempt %d ended as %s", job.id, job.attempt, type(ending).__name__)


def run_next_job(worker: Worker) -> bool:
    """Run the oldest queued job, if this worker has its hands free; whether there was one."""
    if worker.slot.locked():
        return False
    with worker.database.transaction() as session:
        job_id = next_queued_job(session)
    if job_id is None:
        return False
    run_job(worker, job_id)
    return True


def sweep(worker: Worker) -> None:
    """Put back jobs whose worker is lost, announce again what none heard of, remove what ended jobs left."""
    with worker.database.transaction() as session:
        expired = expired_jobs(session)
    for job_id in expired:
        with _going_on("job %s could not be put back", job_id), worker.database.transaction() as session:
            _release_expired(worker, session, job_id)
    with worker.database.transaction() as session:
        unannounced = unannounced_jobs(session, older_than=worker.settings.announce_again)
    for job_id in unannounced:
        with _going_on("job %s could not be announced", job_id), worker.database.transaction() as session:
            _announce_again(worker, session, job_id)
    _remove_old_workdirs(worker)
    _remove_abandoned(worker.settings.cache_dir)


def output_prefix(job_id: str, attempt: int) -> str:
    """Where an attempt stores its student. Derived, so that whoever buries the attempt can clear it."""
    return f"models/{job_id}-{attempt}"


@contextmanager
def _going_on(message: str, *arguments: object) -> Iterator[None]:
    """What fails for one job is logged, and the others have their turn."""
    try:
        yield
    except Exception:
        logger.exception(message, *arguments)


def _attempt(worker: Worker, job: Job, claimed_at: float) -> Ending:
    try:
        with worker.database.transaction() as session:
            request = _build_request(worker, session, job)
    except (SqueezeError, ValidationError) as error:
        logger.exception("job %s cannot be started", job.id)
        code = error.code if isinstance(error, SqueezeError) else "invalid_spec"
        ending: Ending = Failed(code=code, message=f"The job cannot be started: {error}")
        student_id = None
    else:
        student_id = request.student_id
        ending = supervise(
            request,
            workdir=open_workdir(worker.settings.work_dir, job.id, job.attempt),
            claimed_at=claimed_at,
            database=worker.database,
            settings=worker.settings,
            shutdown=worker.shutdown,
            command=worker.command,
        )
    if not isinstance(ending, Succeeded):
        _clear(worker, job.id, job.attempt)
    if isinstance(ending, Lost):
        return ending
    try:
        status = _retrying(worker, lambda session: _conclude(worker, session, job, ending, student_id))
    except DATABASE_AWAY:
        # Whether it was written nobody knows. If not, whoever finds the lease run out clears the files.
        logger.exception("job %s: the database did not take its end", job.id)
        return Lost()
    if status is None:
        _clear(worker, job.id, job.attempt)
        return Lost()
    if status.is_terminal:  # this attempt ended the job: there is none that could still use the folder
        shutil.rmtree(job_folder(worker.settings.work_dir, job.id), ignore_errors=True)
    return ending


def _build_request(worker: Worker, session: WriteSession, job: Job) -> JobRequest:
    spec = JobSpec.model_validate(job.spec)
    teacher = None if spec.teacher is None else _model_ref(session, spec.teacher)
    dataset = get_dataset(session, spec.dataset)
    small_model = None
    if isinstance(spec.method, WeightSqueezingSpec) and spec.method.gate is not None:
        small_model = _model_ref(session, spec.method.gate.small_model)
    settings = worker.settings
    return JobRequest(
        job_id=job.id,
        attempt=job.attempt,
        spec=spec,
        student_id=new_id("mdl"),
        teacher=teacher,
        small_model=small_model,
        dataset=DatasetRef(id=dataset.id, manifest=dataset.manifest),
        storage_url=settings.resolved_storage_url,
        s3_endpoint=settings.s3_endpoint,
        cache_dir=settings.cache_dir.resolve(),
        onnx_tolerance=settings.onnx_tolerance,
        int8_min_agreement=settings.int8_min_agreement,
        output_prefix=output_prefix(job.id, job.attempt),
    )


def _model_ref(session: WriteSession, model_id: str) -> ModelRef:
    return ModelRef(id=model_id, manifest=get_model(session, model_id).manifest)


def _conclude(
    worker: Worker, session: WriteSession, claimed: Job, ending: Ending, student_id: str | None
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
            _put_back(worker, session, job, reason=SHUTDOWN)
        case Failed(retryable=True) if _setbacks(session, job) < worker.settings.max_attempts:
            _put_back(worker, session, job, reason=ending.code, message=ending.message)
        case Failed():
            _fail(session, job, ending.code, ending.message)
        case Lost():
            raise AssertionError("a lost job is nobody's to conclude")
    return job.status


def _register(session: WriteSession, job: Job, outcome: Succeeded, student_id: str) -> None:
    teacher = None if job.teacher_id is None else lock_model(session, job.teacher_id, "update")
    origin = teacher or get_dataset(session, job.dataset_id)
    session.add(
        Model(
            id=student_id,
            name=f"{origin.name} / {job.method}"[:200],
            origin="job",
            manifest_json=outcome.manifest.model_dump(mode="json"),
            metrics=outcome.metrics,
            job_id=job.id,
            teacher_id=job.teacher_id,
            dataset_id=job.dataset_id,
            method=job.method,
        )
    )
    if teacher is not None:
        _attach_exports(teacher, outcome)
    job.student_id = student_id
    job.report = outcome.report
    job.progress = {**job.progress, "fraction": 1.0, "eta_s": 0.0}
    move(session, job, JobStatus.SUCCEEDED, student=student_id)


def _attach_exports(teacher: Model, outcome: Succeeded) -> None:
    """Let a teacher that came without ONNX files be served from those that were made to measure it."""
    manifest = teacher.manifest
    missing = {key: export for key, export in outcome.teacher_exports.items() if key not in manifest.exports}
    if missing:
        manifest.exports.update(missing)
        manifest.files.entries.update(outcome.teacher_files)
        teacher.manifest_json = manifest.model_dump(mode="json")


def _fail(session: WriteSession, job: Job, code: str, message: str) -> None:
    job.error_code = code
    job.error_message = message
    move(session, job, JobStatus.FAILED, error={"code": code, "message": message})


def _setbacks(session: WriteSession, job: Job) -> int:
    """How many attempts came to nothing by nobody's wish, the present one among them."""
    return 1 + count_requeues(session, job.id, except_for=SHUTDOWN)


def _put_back(worker: Worker, session: WriteSession, job: Job, *, reason: str, **data: str) -> None:
    """Queue a running job again, unless its client wants it no more."""
    if job.cancel_requested_at is not None:
        move(session, job, JobStatus.CANCELLED)
        return
    move(session, job, JobStatus.QUEUED, reason=reason, **data)
    _announce(worker, session, job)


def _announce(worker: Worker, session: WriteSession, job: Job) -> None:
    job.announced_at = database_time(session)
    after_commit(session, lambda: worker.queue.announce(job.id))


def _announce_again(worker: Worker, session: WriteSession, job_id: str) -> None:
    job = lock_unannounced_job(session, job_id, older_than=worker.settings.announce_again)
    if job is not None:
        _announce(worker, session, job)


def _release_expired(worker: Worker, session: WriteSession, job_id: str) -> None:
    job = lock_expired_job(session, job_id)
    if job is None:
        return
    logger.warning("job %s: attempt %d was lost with %s", job.id, job.attempt, job.lease_owner)
    attempt = job.attempt
    setbacks = _setbacks(session, job)
    if setbacks < worker.settings.max_attempts:
        _put_back(worker, session, job, reason=WORKER_LOST)
    else:
        _fail(session, job, WORKER_LOST, f"The worker was lost; {setbacks} attempts came to nothing.")
    after_commit(session, lambda: _clear(worker, job_id, attempt))


def _clear(worker: Worker, job_id: str, attempt: int) -> None:
    """Delete what an attempt without a student stored."""
    prefix = output_prefix(job_id, attempt)
    try:
        worker.storage.delete_prefix(prefix)
    except (StoreError, OSError):
        logger.warning("could not delete %s", prefix, exc_info=True)


def _retrying(worker: Worker, write: Callable[[WriteSession], JobStatus | None]) -> JobStatus | None:
    """Write an attempt's end, waiting for a database that is away for up to a lease: hours may hang on it."""
    deadline = time.monotonic() + worker.settings.lease.total_seconds()
    while True:
        try:
            with worker.database.transaction() as session:
                return write(session)
        except DATABASE_AWAY:
            if time.monotonic() >= deadline:
                raise
            logger.warning("the database does not take the end of a job; trying again", exc_info=True)
            time.sleep(1)


def _remove_old_workdirs(worker: Worker) -> None:
    """Work folders of jobs that ended elsewhere, or with their worker."""
    if not worker.settings.work_dir.is_dir():
        return
    for workdir in worker.settings.work_dir.iterdir():
        try:
            with worker.database.transaction() as session:
                is_needed = not get_job(session, workdir.name).status.is_terminal
        except NotFound:
            is_needed = False
        if not is_needed:
            shutil.rmtree(workdir, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """What jobs had half written to the cache, which outlives them, when they were killed."""
    for path in cache.rglob("*.partial"):
        with suppress(FileNotFoundError):  # it has just become whole
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
