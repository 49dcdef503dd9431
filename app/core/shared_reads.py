"""Reading for many who ask at once: one thread and one query serve all who wait."""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Batch(NamedTuple, Generic[Key, Value]):
    """Keys that are read together."""

    keys: set[Key]
    values: asyncio.Task[Mapping[Key, Value]]


class SharedReads(Generic[Key, Value]):
    """Belongs to one event loop.

    Requests that come while a query runs wait for the next one: an answer is never older than its request,
    and a hundred clients cost little more than one.

    Args:
        query: reads all that is asked for at once, in a thread; what does not exist is missing.
    """

    def __init__(self, query: Callable[[set[Key]], Mapping[Key, Value]]) -> None:
        self._query = query
        self._running = asyncio.Lock()
        self._thread = CapacityLimiter(1)  # its own: requests that hold all the others delay no reader
        self._next: _Batch[Key, Value] | None = None

    async def read(self, key: Key) -> Value | None:
        """What the query has found for the key, None where it found nothing."""
        batch = self._next or self._begin_batch()
        batch.keys.add(key)
        values = await asyncio.shield(batch.values)  # others may wait for it when this client leaves
        return values.get(key)

    def _begin_batch(self) -> _Batch[Key, Value]:
        keys: set[Key] = set()
        self._next = _Batch(keys, asyncio.create_task(self._read(keys)))
        return self._next

    async def _read(self, keys: set[Key]) -> Mapping[Key, Value]:
        async with self._running:
            self._next = None
            return await run_sync(self._query, keys, limiter=self._thread)
