"""Threads for work that takes long: so many and no more, apart from those that answer all other requests."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from app.domain.errors import Unavailable

T = TypeVar("T")

_PATIENCE_S = 3.0


class Places:
    """A bounded number of places, for which work waits a few seconds.

    Args:
        number: of them.
        what: is done there, for messages, such as "uploads are being read".
        patience_s: how long work waits for a place.
    """

    def __init__(self, number: int, *, what: str, patience_s: float = _PATIENCE_S) -> None:
        self._places = asyncio.Semaphore(number)
        self._threads = CapacityLimiter(number)
        self._number = number
        self._what = what
        self._patience_s = patience_s

    async def run(self, work: Callable[[], T]) -> T:
        """The result of a function, in a thread.

        Raises:
            Unavailable: all places stay taken.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable(
                "server_busy",
                f"{self._number} {self._what}, as many as are at once. Retry in a few seconds.",
            ) from None
        try:
            return await run_sync(work, limiter=self._threads)
        finally:
            self._places.release()
