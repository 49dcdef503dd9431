"""``/v1/methods``, ``/v1/plans`` and ``/v1/jobs``."""

import re
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from fastapi.sse import EventSourceResponse

from app.auth.guard import Guard
from app.auth.principal import Principal
from app.auth.routes import ProtectedRoute, requires
from app.core.db import ProjectReadSession, jobs
from app.core.db.workers import live_workers
from app.dependencies import DatabaseDep, Limit, Page, PageDep, QueueDep, page_of
from app.domain.documents import JobSpec
from app.domain.documents.auto import AUTO
from app.domain.job_states import JobStatus
from app.domain.methods import METHOD_CARDS
from app.errors import problems
from app.idempotency.creation import CreationDep
from app.jobs import service
from app.jobs.events import EventStreams
from app.jobs.planning import plan_job
from app.jobs.polling import JobPolling
from app.jobs.report import ReportRead, read_report
from app.jobs.report_forms import preferred_form, rendered
from app.jobs.schemas import EventRead, JobRead, MethodRead, PlanRead
from app.jobs.searching import SearchPlanRead, plan_search
from app.rows import UnreadableRow, read_row

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=ProtectedRoute)

_MAX_EVENT = 2**31 - 1  # as large as PostgreSQL's integers
_EVENT_ID = re.compile(r"\d{1,9}", re.ASCII)
_STREAM = {
    "itemSchema": {
        "type": "object",
        "description": "A server-sent event, one for each event of the job.",
        "properties": {
            "id": {"type": "string", "description": "Id of the event; absent from `done`."},
            "event": {"type": "string", "description": "Kind of the event, or `done`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "A `job.event`; of `done`, the job's `status`.",
            },
            "retry": {"type": "integer", "minimum": 0},
        },
    },
}

AfterEvent = Annotated[int, Query(ge=0, le=_MAX_EVENT, description="Return events after this event id.")]


@router.get("/methods")
def list_methods() -> Page[MethodRead]:
    """List methods: what each does, when to use it, and the JSON Schema of its hyperparameters."""
    return Page(data=[MethodRead.of(name) for name in (*METHOD_CARDS, AUTO)], has_more=False)


@router.post(
    "/plans", openapi_extra=requires("read"), responses=problems(400, 404, 408, 409, 413, 422, 500, 503)
)
def create_plan(spec: JobSpec, database: DatabaseDep) -> PlanRead | SearchPlanRead:
    """Plan a job: the student's shape and size, and the estimated steps, time and memory.

    For a teacher that is still to be fine-tuned, give the encoder in its place. Of a search: the students
    that it may try, and the worker-minutes that its trials take.
    """
    with database.reading() as session:
        return _planned(session, spec, teacher_will_be_taught=True)


@router.post(
    "/jobs",
    status_code=202,
    responses={
        200: {"model": PlanRead | SearchPlanRead, "description": "Validated; nothing was created."},
        **problems(400, 404, 408, 409, 413, 422, 500, 503, 507),
    },
)
def create_job(
    spec: JobSpec,
    database: DatabaseDep,
    queue: QueueDep,
    response: Response,
    creation: CreationDep,
    validate_only: Annotated[
        bool, Query(description="Validate the request and return the plan without creating a job.")
    ] = False,
) -> JobRead | PlanRead | SearchPlanRead:
    """Create and queue a job. Poll it, or follow its events."""
    if validate_only:
        response.status_code = 200
        with database.reading() as reading:
            return _planned(reading, spec)
    search = None
    if spec.search is not None:
        with database.reading() as reading:
            search = plan_search(reading, spec)
    with creation.transaction(database) as session:
        job = service.create_job(session, queue, spec, search=search)
        read = partial(JobRead.of, workers=live_workers(session))
        return creation.answer(session, read_row(read, job), location=f"/v1/jobs/{job.id}")


@router.get("/jobs", responses=problems(422, 500, 503))
def list_jobs(
    page: PageDep,
    database: DatabaseDep,
    status: JobStatus | None = None,
    parent: Annotated[
        str | None, Query(max_length=64, description="Id of a search: list the jobs of its trials.")
    ] = None,
) -> Page[JobRead | UnreadableRow]:
    """List jobs, newest first. Those that a search has made are listed under their `parent` alone."""
    with database.reading() as session:
        rows = jobs.list_jobs(session, limit=page.limit + 1, after=page.after, status=status, parent=parent)
        workers = live_workers(session)
    return page_of(partial(JobRead.of, workers=workers), rows, limit=page.limit)


@router.get("/jobs/{job_id}", response_model=JobRead, responses=problems(404, 500, 503))
async def get_job(job_id: str, request: Request) -> Response:
    """Get a job: its status, progress and metrics, and its student or error."""
    polling: JobPolling = request.app.state.polling
    principal: Principal = request.state.principal  # a dependency would cost more than the answer
    return Response(await polling.read(principal.project_id, job_id), media_type="application/json")


@router.post("/jobs/{job_id}/cancel", responses=problems(404, 409, 422, 500, 503, 507))
def cancel_job(
    job_id: str,
    database: DatabaseDep,
    queue: QueueDep,
    keep: Annotated[
        bool, Query(description="Of a search: stop its trials, and succeed with the best student so far.")
    ] = False,
) -> JobRead:
    """Cancel a job: a queued job at once, a running job as soon as its worker is notified.

    A search is cancelled together with its trials, whose students are deleted.
    """
    with database.transaction() as session:
        job = service.cancel_job(session, job_id, queue=queue, keep=keep)
    return read_row(JobRead.of, job)


@router.get(
    "/jobs/{job_id}/report",
    response_model=ReportRead,
    responses={
        200: {
            "content": {
                "text/html": {"schema": {"type": "string"}},
                "text/markdown": {"schema": {"type": "string"}},
            }
        },
        **problems(404, 409, 500, 503),
    },
)
def get_job_report(
    job_id: str,
    database: DatabaseDep,
    accept: Annotated[
        str, Header(description="`application/json` (default), `text/html` or `text/markdown`.")
    ] = "",
) -> Response:
    """Get the report of a job that has succeeded: its models side by side, with how sure each number is.

    The teacher, the student, its ONNX files and controls on the same rows, with bootstrap intervals and
    paired tests; each label by itself; calibration; where teacher and student differ; latencies and what they
    were measured with; training curves. As HTML it is one file without scripts.
    """
    with database.reading() as session:
        read = read_row(partial(read_report, session), jobs.get_job(session, job_id))
    return rendered(read, preferred_form(accept))


@router.get(
    "/jobs/{job_id}/events",
    response_model=Page[EventRead],
    responses={
        307: {"description": "Redirect to the stream for clients that accept `text/event-stream`."},
        **problems(404, 422, 500, 503),
    },
)
def list_job_events(
    job_id: str, request: Request, database: DatabaseDep, after: AfterEvent = 0, limit: Limit = 20
) -> Page[EventRead] | Response:
    """List the events of a job, oldest first."""
    if "text/event-stream" in request.headers.get("accept", ""):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"events/stream{query}")
    with database.reading() as session:
        jobs.get_job(session, job_id)
        rows = jobs.list_events(session, job_id, after=after, limit=limit + 1)
    has_more = len(rows) > limit
    events = [EventRead.of(row) for row in rows[:limit]]
    return Page(data=events, has_more=has_more, next=str(events[-1].id) if has_more else None)


@router.get(
    "/jobs/{job_id}/events/stream",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": _STREAM}},
        **problems(404, 422, 500, 503),
    },
)
def stream_job_events(
    job_id: str,
    request: Request,
    database: DatabaseDep,
    after: AfterEvent = 0,
    last_event_id: Annotated[
        str | None, Header(description="Id of the last event received, to resume a stream.")
    ] = None,
) -> Response:
    """Stream the past and coming events of a job as server-sent events.

    The stream sends each event with its id and ends with `done` once the job has finished.
    """
    with database.reading() as session:
        job = jobs.get_job(session, job_id)
    if last_event_id is not None and _EVENT_ID.fullmatch(last_event_id):
        after = int(last_event_id)
    streams: EventStreams = request.app.state.event_streams
    guard: Guard = request.app.state.guard
    stream = guard.while_admitted(request.scope, streams.stream(job.id, after=after))
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return EventSourceResponse(stream, headers=headers)


def _planned(
    session: ProjectReadSession, spec: JobSpec, *, teacher_will_be_taught: bool = False
) -> PlanRead | SearchPlanRead:
    if spec.search is not None:
        return SearchPlanRead.of(plan_search(session, spec), workers=len(live_workers(session)))
    return PlanRead.of(plan_job(session, spec, teacher_will_be_taught=teacher_will_be_taught))
