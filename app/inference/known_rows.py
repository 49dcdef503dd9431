"""Rows as they were found lately: few requests need a query, and none waits long for a database."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.outages import Outages
from app.domain.errors import NotFound
from app.inference.single_flight import SingleFlight

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")


@dataclass
class Freshness:
    """How old what is known of the database may be."""

    trusted_s: float = 5.0
    """How long a row is believed without another look: so long a deleted model may still answer."""
    patience_s: float = 0.5
    """How long a request waits for another look, where the row was there before."""


class _Known(NamedTuple, Generic[Row]):
    """A row, when it was read, and until when it is believed."""

    row: Row
    read_at: float
    trusted_until: float


class KnownRows(Generic[Key, Row]):
    """Belongs to one event loop.

    From half of its time on a row is looked up again without a request waiting for it; while the database
    is away, what was known goes on.

    Args:
        read: finds a row, in a thread; raises NotFound where there is none.
        freshness: may be changed while this is in use.
        outages: where a database that is away is reported.
        is_kept: whether a row stays known that nobody has asked for lately.
        forget: is told of rows that are gone.
    """

    def __init__(
        self,
        read: Callable[[Key], Row],
        *,
        freshness: Freshness,
        outages: Outages,
        is_kept: Callable[[Key, Row], bool],
        forget: Callable[[Key, Row], None] = lambda *_: None,
    ) -> None:
        self._read = read
        self._freshness = freshness
        self._outages = outages
        self._is_kept = is_kept
        self._forget = forget
        self._known: dict[Key, _Known[Row]] = {}
        self._look_ups = SingleFlight()

    async def find(self, key: Key, *, read_after: float = 0.0) -> Row:
        """The row of a key, not read before this time of the monotonic clock.

        Raises:
            NotFound: there is none.
        """
        known = self._known.get(key)
        if known is not None and known.read_at < read_after:
            del self._known[key]
        while (known := self._trusted(key)) is None:
            look_up = self._look_ups.once(key, lambda: self._look_up(key))
            if (earlier := self._known.get(key)) is None:
                await look_up
            elif not await self._is_answered(look_up):
                self._known[key] = earlier._replace(trusted_until=monotonic() + self._freshness.trusted_s)
        return known.row

    async def close(self) -> None:
        """End the look-ups that are under way."""
        await self._look_ups.close()

    def _trusted(self, key: Key) -> _Known[Row] | None:
        known = self._known.get(key)
        now = monotonic()
        if known is None or now >= known.trusted_until:
            return None
        if now > known.trusted_until - self._freshness.trusted_s / 2:
            # Looked up again beforehand, so that no prediction of a model in use waits for it.
            self._look_ups.begin(key, lambda: self._look_up(key))
        return known

    async def _is_answered(self, look_up: Awaitable[None]) -> bool:
        """Whether the database answers soon; a model that is loaded does not wait for one that is away."""
        try:
            async with asyncio.timeout(self._freshness.patience_s):
                await look_up
        except (TimeoutError, DBAPIError, PoolTimeout) as error:
            self._outages.report("database", str(error) or "no answer yet; loaded models go on")
            return False
        return True

    async def _look_up(self, key: Key) -> None:
        asked_at = monotonic()
        try:
            row = await asyncio.to_thread(self._read, key)
        except NotFound:
            if known := self._known.pop(key, None):
                self._forget(key, known.row)
            raise
        now = monotonic()
        self._known = {
            other: known
            for other, known in self._known.items()
            if now < known.trusted_until or self._is_kept(other, known.row)
        }
        self._known[key] = _Known(row, asked_at, now + self._freshness.trusted_s)
