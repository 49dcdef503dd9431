"""Work that several clients wait for is done one time."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable

Work = Callable[[], Coroutine[None, None, None]]


class SingleFlight:
    """Belongs to one event loop. What is under way goes on when one of those who wait for it leaves."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    async def once(self, key: Hashable, work: Work) -> None:
        """Wait for the work of this key, which begins now if it is not under way."""
        await asyncio.shield(self.begin(key, work))

    def begin(self, key: Hashable, work: Work) -> asyncio.Task[None]:
        """The work of this key, which begins now if it is not under way."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._end(key))
        return task

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, key: Hashable) -> None:
        task = self._under_way.pop(key)
        if not task.cancelled():
            task.exception()  # all who asked may have left or gone on without it
