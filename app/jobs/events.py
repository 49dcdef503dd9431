"""A job's history as server-sent events: rows of the table, so that a broken stream resumes where it was.

Streams wait to be told of new events, and then read together: while nothing happens, many cost nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database
from app.core.db.jobs import JobEvent, last_events, list_events
from app.core.db.notifications import EventListener
from app.core.shared_reads import SharedReads
from app.domain.job_states import JobStatus
from app.jobs.schemas import EventRead

_BATCH = 500
_PING_S = 15.0
_RETRY_MS = 3000
_ENDS = frozenset(status.value for status in JobStatus if status.is_terminal)


class _Position(NamedTuple):
    """Where a stream is."""

    job_id: str
    after: int


class _News(NamedTuple):
    """What comes next in a stream."""

    text: bytes
    """As it is sent."""
    after: int
    status: str
    is_all: bool


class EventStreams:
    """All streams of a process. Belongs to one event loop; ``close`` ends them."""

    def __init__(self, database: Database, *, look_again_s: float = 10) -> None:
        self._database = database
        self._reads = SharedReads(self._query)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._listener = EventListener(database, self._wake, look_again_s=look_again_s)
        self._listener.start()

    def stop(self) -> None:
        """End the streams; signal handlers and other threads may call it."""
        self._is_closed = True
        self._wake(None)

    async def close(self) -> None:
        """End the streams and the thread that listens for them."""
        self.stop()
        await asyncio.to_thread(self._listener.close)

    async def stream(self, job_id: str, *, after: int) -> AsyncGenerator[bytes]:
        """Events after ``after`` as they come, then ``done`` once the job has ended and all were sent.

        A server that stops ends the stream without ``done``: clients then connect again, after the event
        that they had last.
        """
        yield format_sse_event(retry=_RETRY_MS, comment="events of a job")
        with self._news_of(job_id) as has_news:
            while not self._is_closed:
                has_news.clear()
                try:
                    news = await self._reads.read(_Position(job_id, after))
                except SQLAlchemyError:  # goes on when the listener, who reports it, is connected again
                    news = _News(b"", after, "unknown", is_all=True)
                if news is None:  # deleted
                    return
                if news.text:
                    yield news.text
                    after = news.after
                if not news.is_all:
                    continue
                if news.status in _ENDS:
                    yield format_sse_event(event="done", data_str=f'{{"status":"{news.status}"}}')
                    return
                try:
                    async with asyncio.timeout(_PING_S):
                        await has_news.wait()
                except TimeoutError:
                    yield KEEPALIVE_COMMENT
        yield format_sse_event(comment="the server is stopping: connect again")

    @contextmanager
    def _news_of(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the job may have something new, or the streams are to end."""
        has_news = asyncio.Event()
        self._waiting[job_id].add(has_news)
        try:
            yield has_news
        finally:
            self._waiting[job_id].discard(has_news)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _wake(self, job_ids: Collection[str] | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, job_ids)

    def _tell(self, job_ids: Collection[str] | None) -> None:
        for job_id in list(self._waiting) if job_ids is None else job_ids:
            for has_news in self._waiting.get(job_id, ()):
                has_news.set()

    def _query(self, positions: set[_Position]) -> Mapping[_Position, _News]:
        with self._database.reading() as session:
            last = last_events(session, {position.job_id for position in positions})
            return {
                position: _news(
                    list_events(session, position.job_id, after=position.after, limit=_BATCH)
                    if last[position.job_id].seq > position.after
                    else (),
                    position,
                    last[position.job_id].status,
                )
                for position in positions
                if position.job_id in last
            }


def _news(events: Collection[JobEvent], position: _Position, status: str) -> _News:
    """The status was read first: events of an ended job were then all in the table."""
    reads = [EventRead.of(event) for event in events]
    text = b"".join(
        format_sse_event(id=str(read.id), event=read.kind, data_str=read.model_dump_json()) for read in reads
    )
    after = reads[-1].id if reads else position.after
    return _News(text, after, status, is_all=len(reads) < _BATCH)
