"""``/v1/fine_tuning/jobs``, as the clients of OpenAI's API drive jobs."""

import re
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request

from app.auth.routes import ProtectedRoute
from app.core.db import ProjectReadSession
from app.core.db.checkpoints import list_checkpoints
from app.core.db.fine_tuning import list_jobs_with, newest_events, requests_of
from app.core.db.jobs import Job, get_job, list_jobs
from app.dependencies import (
    DatabaseDep,
    Limit,
    Page,
    PageDep,
    QueueDep,
    SettingsDep,
    StorageDep,
    UploadPlacesDep,
    page_of,
)
from app.domain.errors import InvalidRequest
from app.errors import problems
from app.fine_tuning import service
from app.fine_tuning.rendering import FineTuningCheckpointRead, FineTuningEventRead, FineTuningJobRead
from app.fine_tuning.schemas import FineTuningJobCreate
from app.idempotency.creation import CreationDep
from app.jobs.service import cancel_job
from app.rows import UnreadableRow, read_row

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"], route_class=ProtectedRoute)

_METADATA: Final = re.compile(r"metadata\[(.+)\]")
_EVENT: Final = r"^job_[0-9A-Z]{26}-\d{1,9}$"
_CHECKPOINT: Final = r"^job_[0-9A-Z]{26}-\d{1,9}-\d{1,9}$"


@router.post("", status_code=202, responses=problems(400, 404, 408, 409, 413, 422, 500, 503, 507))
async def create_fine_tuning_job(
    asked: FineTuningJobCreate,
    database: DatabaseDep,
    storage: StorageDep,
    settings: SettingsDep,
    queue: QueueDep,
    places: UploadPlacesDep,
    creation: CreationDep,
) -> FineTuningJobRead:
    """Create and queue a job in the words of OpenAI's API.

    A data set is made of the files, and stays; its id can be given as `training_file` of further jobs. What
    OpenAI's API has no words for, such as a compression method and a target, has the names of
    `POST /v1/jobs`: clients send it as `extra_body`. The default method is `fine_tuning`.
    """

    def create() -> FineTuningJobRead:
        with creation.transaction(database) as session:
            job, request = service.create_job(
                session, asked, database=database, storage=storage, queue=queue, settings=settings
            )
            read = read_row(lambda row: FineTuningJobRead.of(row, request), job)
            return creation.answer(session, read, location=f"/v1/fine_tuning/jobs/{job.id}")

    return await (run_sync(create) if asked.names_dataset else places.run(create))


@router.get("", responses=problems(422, 500, 503))
def list_fine_tuning_jobs(
    page: PageDep, request: Request, database: DatabaseDep
) -> Page[FineTuningJobRead | UnreadableRow]:
    """List jobs, also those of `POST /v1/jobs`, newest first.

    `metadata[key]=value` leaves those that have this in their metadata.
    """
    metadata = _metadata(request)
    with database.reading() as session:
        rows = (
            list_jobs_with(session, metadata, limit=page.limit + 1, after=page.after)
            if metadata
            else list_jobs(session, limit=page.limit + 1, after=page.after)
        )
        asked = requests_of(session, [job.id for job in rows])
    return page_of(lambda job: FineTuningJobRead.of(job, asked.get(job.id)), rows, limit=page.limit)


@router.get("/{job_id}", responses=problems(404, 500, 503))
def get_fine_tuning_job(job_id: str, database: DatabaseDep) -> FineTuningJobRead:
    """Get a job."""
    with database.reading() as session:
        return _read(session, get_job(session, job_id))


@router.post("/{job_id}/cancel", responses=problems(404, 409, 500, 503, 507))
def cancel_fine_tuning_job(job_id: str, database: DatabaseDep, queue: QueueDep) -> FineTuningJobRead:
    """Cancel a job: a queued job at once, a running job as soon as its worker is notified."""
    with database.transaction() as session:
        return _read(session, cancel_job(session, job_id, queue=queue))


@router.get("/{job_id}/events", responses=problems(404, 422, 500, 503))
def list_fine_tuning_events(
    job_id: str,
    database: DatabaseDep,
    after: Annotated[str | None, Query(pattern=_EVENT, description="Id of an event of the job.")] = None,
    limit: Limit = 20,
) -> Page[FineTuningEventRead]:
    """List the events of a job, newest first."""
    with database.reading() as session:
        get_job(session, job_id)
        before = None if after is None else int(_within(job_id, after))
        rows = newest_events(session, job_id, before=before, limit=limit + 1)
    return _page([FineTuningEventRead.of(row) for row in rows], limit)


@router.get("/{job_id}/checkpoints", responses=problems(404, 422, 500, 503))
def list_fine_tuning_checkpoints(
    job_id: str,
    database: DatabaseDep,
    after: Annotated[
        str | None, Query(pattern=_CHECKPOINT, description="Id of a checkpoint of the job.")
    ] = None,
    limit: Limit = 10,
) -> Page[FineTuningCheckpointRead]:
    """List the checkpoints from which an unfinished job could go on, the latest step first.

    None is a model: the student is made of the best one when the job succeeds.
    """
    with database.reading() as session:
        get_job(session, job_id)
        rows = list_checkpoints(session, job_id)
    if after is not None:
        last_step = int(_within(job_id, after).rpartition("-")[2])
        rows = [row for row in rows if row.step < last_step]
    return _page([FineTuningCheckpointRead.of(row) for row in rows], limit)


def _read(session: ProjectReadSession, job: Job) -> FineTuningJobRead:
    asked = requests_of(session, [job.id])
    return read_row(lambda row: FineTuningJobRead.of(row, asked.get(row.id)), job)


def _page(rows: list[Any], limit: int) -> Page[Any]:
    has_more = len(rows) > limit
    return Page(data=rows[:limit], has_more=has_more, next=rows[limit - 1].id if has_more else None)


def _within(job_id: str, cursor: str) -> str:
    """What a cursor says beside the job.

    Raises:
        InvalidRequest: it is of another job.
    """
    if not cursor.startswith(f"{job_id}-"):
        raise InvalidRequest(
            "unknown_cursor",
            f"after is {cursor!r}, which is not of job {job_id}. Give the last id of a page.",
        )
    return cursor.removeprefix(f"{job_id}-")


def _metadata(request: Request) -> dict[str, str]:
    """Conditions of a query, such as ``metadata[team]=search``.

    Raises:
        InvalidRequest: one is written in another way.
    """
    conditions = {}
    for name, value in request.query_params.items():
        if not name.startswith("metadata"):
            continue
        found = _METADATA.fullmatch(name)
        if found is None:
            raise InvalidRequest(
                "invalid_metadata_filter", f"{name[:80]!r} is no condition. Write metadata[key]=value."
            )
        conditions[found[1]] = value
    return conditions
