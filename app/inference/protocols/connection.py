"""Clients that hang up before they are answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

CLIENT_CLOSED_REQUEST = 499
"""The status of an answer that nobody reads, for log and metrics."""

PATIENCE_S = 0.1
"""From here on it pays to look whether the client is still there."""


class ClientGone(Exception):  # noqa: N818 - nobody made an error
    """The client has disconnected."""


async def answer_nobody(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler of Starlette
    """What a request whose client has gone is logged and counted with."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


@asynccontextmanager
async def cancelled_when_gone(request: Request) -> AsyncIterator[None]:
    """Drop the work of the block when the client hangs up; costs nothing while answers are quick."""
    loop = asyncio.get_running_loop()
    waiting = asyncio.current_task()
    assert waiting is not None
    watch: asyncio.Task[None] | None = None

    async def listen() -> None:
        # The body has been read: all that can still come is the end of the connection.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        waiting.cancel()

    def start() -> None:
        nonlocal watch
        watch = loop.create_task(listen())

    timer = loop.call_later(PATIENCE_S, start)
    try:
        yield
    except asyncio.CancelledError:
        if watch is not None and watch.done() and not watch.cancelled():
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        if watch is not None:
            watch.cancel()
