"""Requests at a rate of their own, whatever becomes of them: what a server does beyond its saturation."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import uvloop

from benchmarks.closed_loop import answer_head, quantile

_MOST_CONNECTIONS: Final = 1000
_GRACE_S: Final = 30


@dataclass
class OpenLoad:
    """What became of the requests; seconds from when each was due."""

    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    """Those with a 429."""
    failed: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.failed

    def accepted_ms(self, share: float) -> float | None:
        return quantile(self.accepted_s, share) * 1e3 if self.accepted_s else None

    def refused_ms(self, share: float) -> float | None:
        return quantile(self.refused_s, share) * 1e3 if self.refused_s else None


class _Connection(asyncio.Protocol):
    """Sends one request at a time, and gives itself back when it is answered."""

    def __init__(self, load: OpenLoad, idle: "asyncio.Queue[_Connection]") -> None:
        self._load = load
        self._idle = idle
        self._received = b""
        self._due_s: float | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due_s: float) -> None:
        self._received, self._due_s = b"", due_s
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = answer_head(self._received)
        if head is None or self._due_s is None:
            return
        took_s, self._due_s = time.perf_counter() - self._due_s, None
        if head.startswith(b"HTTP/1.1 2"):
            self._load.accepted_s.append(took_s)
        elif head.startswith(b"HTTP/1.1 429"):
            self._load.refused_s.append(took_s)
        else:
            self._load.failed += 1
        self._idle.put_nowait(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self.is_open = False
        if self._due_s is not None:
            self._load.failed += 1
            self._idle.put_nowait(self)

    def close(self) -> None:
        self._transport.close()


def measure_open_load(
    host: str, port: int, requests: Sequence[bytes], *, rate: float, seconds: float
) -> OpenLoad:
    """Send so many requests a second, evenly, for so long, and wait for their answers.

    A request that finds no free connection waits for one: that is part of what it takes.
    """
    return uvloop.run(_send(host, port, requests, rate=rate, seconds=seconds))


async def _send(host: str, port: int, requests: Sequence[bytes], *, rate: float, seconds: float) -> OpenLoad:
    loop, load = asyncio.get_running_loop(), OpenLoad()
    idle: asyncio.Queue[_Connection] = asyncio.Queue()
    connections = 0

    async def free_connection() -> _Connection:
        nonlocal connections
        while not idle.empty() or connections == _MOST_CONNECTIONS:
            if (connection := await idle.get()).is_open:
                return connection
            connections -= 1
        connections += 1
        _, connection = await loop.create_connection(lambda: _Connection(load, idle), host, port)
        return connection

    began_s = time.perf_counter()
    for number in range(int(rate * seconds)):
        due_s = began_s + number / rate
        if (early_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(early_s)
        connection = await free_connection()
        connection.send(requests[number % len(requests)], due_s)
    async with asyncio.timeout(_GRACE_S):
        for _ in range(connections):
            (await idle.get()).close()
    return load
