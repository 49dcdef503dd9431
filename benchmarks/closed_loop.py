"""A closed loop of HTTP clients on kept-alive sockets, thin enough not to be what is measured."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import cast

import uvloop

_HEADER_END = b"\r\n\r\n"
_GRACE_S = 30


@dataclass(frozen=True)
class Load:
    """What the clients saw."""

    rate: float
    """Answers a second, over all clients."""

    latencies_s: list[float]

    def quantile_ms(self, share: float) -> float:
        return quantile(self.latencies_s, share) * 1e3


@dataclass
class _Course:
    """What the clients of one load share."""

    requests: Sequence[bytes]
    from_s: float
    until_s: float
    latencies_s: list[float] = field(default_factory=list)
    next_request: "count[int]" = field(default_factory=count)


class _Client(asyncio.Protocol):
    """Sends a request, waits for its answer, sends the next, until the time is over."""

    def __init__(self, course: _Course, finished: "asyncio.Future[None]") -> None:
        self._course = course
        self._finished = finished
        self._received = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = answer_head(self._received)
        if head is None:
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 2"):
            self._end(RuntimeError(f"the server answered {self._received[:500]!r}"))
            return
        if self._course.from_s <= now <= self._course.until_s:
            self._course.latencies_s.append(now - self._sent_s)
        if now > self._course.until_s:
            self._end(None)
            return
        self._received = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or RuntimeError("the server closed the connection"))

    def _send(self) -> None:
        requests = self._course.requests
        self._sent_s = time.perf_counter()
        self._transport.write(requests[next(self._course.next_request) % len(requests)])

    def _end(self, error: Exception | None) -> None:
        if not self._finished.done():
            self._finished.set_result(None) if error is None else self._finished.set_exception(error)
        self._transport.close()


def measure_load(
    host: str,
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    warm_up_s: float,
) -> Load:
    """Keep ``clients`` requests under way; those answered after the warm-up count.

    Args:
        host: of the server.
        port: of the server.
        requests: whole HTTP requests, sent in turn; see ``get`` and ``post``.
        clients: how many send at once.
        seconds: how long answers count.
        warm_up_s: how long they do not.

    Raises:
        RuntimeError: an answer was no success, or a connection was closed.
    """
    return uvloop.run(send_all(host, port, requests, clients=clients, seconds=seconds, warm_up_s=warm_up_s))


def measure_beside(
    host: str,
    port: int,
    requests: Sequence[bytes],
    other_requests: Sequence[bytes],
    *,
    others: int,
    seconds: float,
    warm_up_s: float,
) -> Load:
    """What one client sees while others, if they have anything to send, send something else."""

    async def send() -> Load:
        send_each = partial(send_all, host, port, seconds=seconds, warm_up_s=warm_up_s)
        if not other_requests:
            return await send_each(requests, clients=1)
        beside = asyncio.create_task(send_each(other_requests, clients=others))
        load = await send_each(requests, clients=1)
        # The others may have a long answer coming, which nobody waits for.
        beside.cancel()
        await asyncio.wait([beside])
        if not beside.cancelled() and (error := beside.exception()) is not None:
            raise error
        return load

    return uvloop.run(send())


async def send_all(
    host: str,
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    warm_up_s: float,
) -> Load:
    """As ``measure_load``, beside whatever else the running loop does."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter() + warm_up_s
    course = _Course(requests, from_s=start, until_s=start + seconds)
    endings = [loop.create_future() for _ in range(clients)]
    for finished in endings:
        await loop.create_connection(partial(_Client, course, finished), host, port)
    async with asyncio.timeout(warm_up_s + seconds + _GRACE_S):
        await asyncio.gather(*endings)
    return Load(len(course.latencies_s) / seconds, course.latencies_s)


def get(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: {host}".encode() + _HEADER_END


def post(host: str, path: str, body: bytes) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + _HEADER_END + body


def quantile(values: Sequence[float], share: float) -> float:
    """Raises ``RuntimeError`` where there are none."""
    if not values:
        raise RuntimeError("no answer came while answers counted; measure for longer")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def answer_head(received: bytes) -> bytes | None:
    """The headers of an answer that is there as a whole."""
    head, end, body = received.partition(_HEADER_END)
    return head if end and len(body) >= _content_length(head) else None


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])
