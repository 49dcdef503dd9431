"""A job's history as server-sent events: rows of the table, so that a broken stream resumes where it was."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import anyio
from anyio.to_thread import run_sync
from fastapi.sse import format_sse_event

from app.core.db import Database
from app.core.db.jobs import JobEvent, get_job, list_events
from app.domain.job_states import JobStatus
from app.jobs.schemas import EventRead

_BATCH = 500
_POLL_S = 0.5
_PING_S = 15.0
_RETRY_MS = 3000
_ENDS = frozenset(status.value for status in JobStatus if status.is_terminal)


async def stream_events(
    database: Database, job_id: str, *, after: int, is_over: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """Events after ``after`` as they come, then ``done`` once the job has ended and all were sent.

    ``is_over`` returns true once the client has disconnected or the server is stopping.
    """
    yield format_sse_event(retry=_RETRY_MS, comment="events of a job")
    last_sent = time.monotonic()
    while not await is_over():
        status, events = await run_sync(_read, database, job_id, after)
        for event in events:
            after = event.seq
            read = EventRead.of(event)
            yield format_sse_event(id=str(read.id), event=read.kind, data_str=read.model_dump_json())
        if len(events) == _BATCH:
            continue
        if status in _ENDS:
            yield format_sse_event(event="done", data_str=f'{{"status":"{status}"}}')
            return
        if events:
            last_sent = time.monotonic()
        elif time.monotonic() - last_sent > _PING_S:
            last_sent = time.monotonic()
            yield format_sse_event(comment="ping")
        await anyio.sleep(_POLL_S)


def _read(database: Database, job_id: str, after: int) -> tuple[str, Sequence[JobEvent]]:
    """The status first: events of an ended job are then all in the table."""
    with database.reading() as session:
        return get_job(session, job_id).status_text, list_events(session, job_id, after=after, limit=_BATCH)
