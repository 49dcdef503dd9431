"""From a token to whose it is. Keys that were looked up a moment ago cost microseconds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import NamedTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.auth.principal import Principal
from app.auth.tokens import digest_of, key_id_of
from app.core.db import Database
from app.core.db.api_keys import ApiKey, find_keys, note_use
from app.core.outages import Outages
from app.core.shared_reads import SharedReads
from app.domain.errors import Unauthenticated

_USE_WRITTEN_EVERY = timedelta(minutes=1)

_DATABASE_AWAY = (DBAPIError, PoolTimeout, TimeoutError)


class _Row(NamedTuple):
    """What the table says of a key."""

    key: ApiKey
    is_valid: bool
    is_unused: bool
    """Whether its use was last written long enough ago to be written again."""


@dataclass(slots=True)
class _Known:
    """A key that was valid when it was looked up."""

    principal: Principal
    checked_at: float
    trusted_until: float


class KeyCache:
    """Keys by the digest of their token, those used last. Belongs to one event loop.

    Args:
        database: where they are looked up.
        trusted_s: how long a key is believed without another look: so long a revoked one may still work.
            From half of it on a request has the key looked up again, without waiting for that.
        unchecked_s: how long known keys work while the database is away.
        patience_s: how long a request with a known key waits for the database.
        size: how many keys are known at once.
        clock: in seconds.
        outages: those of the process, which are logged once.
    """

    def __init__(
        self,
        database: Database,
        *,
        trusted_s: float = 5.0,
        unchecked_s: float = 600.0,
        patience_s: float = 1.0,
        size: int = 4096,
        clock: Callable[[], float] = monotonic,
        outages: Outages | None = None,
    ) -> None:
        self.trusted_s = trusted_s
        self._outages = outages or Outages()
        self._database = database
        self._unchecked_s = unchecked_s
        self._patience_s = patience_s
        self._size = size
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._reads: SharedReads[tuple[str, str], _Row] = SharedReads(self._read)
        self._background: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._writer = CapacityLimiter(1)

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, token: str) -> Principal:
        """Whose token it is.

        Raises:
            Unauthenticated: it is no key's, or the key has expired or was revoked.
        """
        digest = digest_of(token)
        known = self._known.get(digest)
        if known is None:
            return await self._look_up(token, digest)
        now = self._clock()
        if now < known.trusted_until:
            if now > known.trusted_until - self.trusted_s / 2:
                self._start(digest, partial(self._refresh, token, digest))
            return known.principal
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._look_up(token, digest)
        except _DATABASE_AWAY as error:
            if now > known.checked_at + self._unchecked_s:
                raise
            self._outages.report("database", str(error) or "no answer yet; known keys go on")
            known.trusted_until = now + self.trusted_s
            return known.principal

    def forget(self, key_id: str) -> None:
        """Look a key up again before it is believed once more; from any thread."""

        def forget() -> None:
            for digest in [d for d, known in self._known.items() if known.principal.key_id == key_id]:
                del self._known[digest]

        self._loop.call_soon_threadsafe(forget)

    async def close(self) -> None:
        """End what goes on beside requests."""
        tasks = list(self._background.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(self, token: str, digest: str) -> Principal:
        asked_at = self._clock()
        key_id = key_id_of(token)
        row = None if key_id is None else await self._reads.read((key_id, digest))
        if row is None or not row.is_valid:
            self._known.pop(digest, None)
            raise _refusal(row)
        key = row.key
        if row.is_unused:
            self._start(key.id, partial(self._write_use, key.id))
        principal = Principal(
            key.project_id, frozenset(key.scopes), key.id, key.project.max_requests_per_minute
        )
        self._known[digest] = _Known(principal, asked_at, asked_at + self.trusted_s)
        self._known.move_to_end(digest)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return principal

    def _read(self, tokens: AbstractSet[tuple[str, str]]) -> Mapping[tuple[str, str], _Row]:
        with self._database.reading() as session:
            keys, now = find_keys(session, {key_id for key_id, _ in tokens})
        by_id = {key.id: key for key in keys}
        return {
            (key_id, digest): _Row(
                key,
                is_valid=key.revoked_at is None and not key.has_expired(now),
                is_unused=key.last_used_at is None or key.last_used_at < now - _USE_WRITTEN_EVERY,
            )
            for key_id, digest in tokens
            if (key := by_id.get(key_id)) is not None and key.accepts(digest, now)
        }

    async def _refresh(self, token: str, digest: str) -> None:
        with suppress(Unauthenticated, *_DATABASE_AWAY):  # the next request is told
            await self._look_up(token, digest)

    async def _write_use(self, key_id: str) -> None:
        def write() -> None:
            with self._database.transaction() as session:
                note_use(session, key_id, every=_USE_WRITTEN_EVERY)

        try:
            await run_sync(write, limiter=self._writer)
        except _DATABASE_AWAY as error:
            self._outages.report("database", error)

    def _start(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begin what no request waits for, unless the same is under way."""
        if name not in self._background:
            task = self._background[name] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._background.pop(name))


def _refusal(row: _Row | None) -> Unauthenticated:
    if row is None:
        return Unauthenticated("invalid_api_key", "The API key is not valid.")
    if row.key.revoked_at is not None:
        return Unauthenticated("api_key_revoked", f"The API key {row.key.id} was revoked.", id=row.key.id)
    return Unauthenticated("api_key_expired", f"The API key {row.key.id} has expired.", id=row.key.id)
