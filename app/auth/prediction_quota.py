"""How many texts a project may have predictions of in a day."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.auth.limits import Allowance
from app.core.db import Database
from app.core.db.projects import get_project
from app.core.db.usage import PredictionsOf, add_predictions, predictions_of
from app.core.outages import Outages
from app.core.shared_reads import SharedReads
from app.domain.errors import RateLimited

_DAY_S = 24 * 3600

_DATABASE_AWAY = (DBAPIError, PoolTimeout)


class _Stored(NamedTuple):
    """What the database says of a day, and when it did."""

    limit: int | None
    used: int
    read_at: float


_UNKNOWN = _Stored(None, 0, float("-inf"))


@dataclass(slots=True)
class _Count:
    """Predictions of a day."""

    stored: _Stored = _UNKNOWN
    unwritten: int = 0

    @property
    def used(self) -> int:
        return self.stored.used + self.unwritten

    def allows(self, texts: int) -> bool:
        return self.stored.limit is None or self.used + texts <= self.stored.limit


class PredictionQuota:
    """Counts predictions by project. Belongs to one event loop.

    Counts are kept here and added every few seconds to those in the database, which all processes share. A
    prediction waits for the database only if it is its project's first of the day, or is about to be refused.

    Args:
        database: where they are counted for all processes.
        behind_s: how old what is known of other processes' predictions, and of the limit, may be.
        clock: in seconds.
        outages: those of the process, which are logged once.
    """

    def __init__(
        self,
        database: Database,
        *,
        behind_s: float = 5.0,
        clock: Callable[[], float] = monotonic,
        outages: Outages | None = None,
    ) -> None:
        self._database = database
        self._outages = outages or Outages()
        self._behind_s = behind_s
        self._clock = clock
        self._counts: dict[PredictionsOf, _Count] = {}
        self._reads: SharedReads[PredictionsOf, _Stored] = SharedReads(self._read)
        self._thread = CapacityLimiter(1)
        self._writing: asyncio.Task[None] | None = None
        self._one_write = (
            asyncio.Lock()
        )  # a second one would write again what the first has not yet taken off

    async def prepare(self, project_id: str, texts: int) -> None:
        """Find out what ``taking`` must know of a project, if it does not."""
        day = _today(project_id)
        count = self._counts.setdefault(day, _Count())
        if count.stored is not _UNKNOWN and (count.allows(texts) or not self._is_old(count.stored)):
            return
        try:
            count.stored = await self._reads.read(day) or count.stored
        except _DATABASE_AWAY as error:
            self._outages.report("database", error)  # predictions go on without limit

    @contextmanager
    def taking(self, project_id: str, texts: int) -> Iterator[Allowance | None]:
        """Count predictions that are made in the block; if it fails, they do not count.

        Raises:
            RateLimited: the project may have no more of them today.
        """
        count = self._counts.setdefault(_today(project_id), _Count())
        limit = count.stored.limit
        if limit is not None and not count.allows(texts):
            raise RateLimited(
                "prediction_quota_exceeded",
                f"The project may have {limit:,} predictions a day and has had {count.used:,}; this asks for "
                f"{texts:,}. The day ends at 00:00 UTC.",
                retry_after_s=_rest_of_day_s(),
                policy="predictions",
                used=count.used,
                texts=texts,
                max_predictions_per_day=limit,
            )
        count.unwritten += texts
        try:
            yield None if limit is None else _allowance(limit, count)
        except BaseException:
            count.unwritten -= texts
            raise
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write what was counted."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._write()

    def _is_old(self, stored: _Stored) -> bool:
        return self._clock() > stored.read_at + self._behind_s

    async def _write_later(self) -> None:
        await asyncio.sleep(self._behind_s)
        self._writing = None
        await self._write()

    async def _write(self) -> None:
        async with self._one_write:
            await self._write_counts()

    async def _write_counts(self) -> None:
        counts = {day: count.unwritten for day, count in self._counts.items() if count.unwritten}
        if counts:
            try:
                stored = await run_sync(self._add, counts, limiter=self._thread)
            except _DATABASE_AWAY as error:
                self._outages.report("database", error)  # they count all the same
                return
            for day, added in counts.items():
                self._counts[day].unwritten -= added
                self._counts[day].stored = stored.get(day, self._counts[day].stored)
        self._counts = {
            day: count
            for day, count in self._counts.items()
            if count.unwritten or day == _today(day.project_id)
        }

    def _add(self, counts: Mapping[PredictionsOf, int]) -> Mapping[PredictionsOf, _Stored]:
        with self._database.transaction() as session:
            add_predictions(session, counts)
        return self._read(counts.keys())

    def _read(self, days: AbstractSet[PredictionsOf]) -> Mapping[PredictionsOf, _Stored]:
        read_at = self._clock()
        found = {}
        for day in days:
            with self._database.of(day.project_id).reading() as session:
                limit = get_project(session, day.project_id).max_predictions_per_day
                found[day] = _Stored(limit, predictions_of(session, day.date), read_at)
        return found


def _allowance(limit: int, count: _Count) -> Allowance:
    return Allowance("predictions", limit, _DAY_S, limit - count.used, _rest_of_day_s())


def _today(project_id: str) -> PredictionsOf:
    return PredictionsOf(project_id, datetime.now(UTC).date())


def _rest_of_day_s() -> float:
    now = datetime.now(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    return (midnight - now).total_seconds()
