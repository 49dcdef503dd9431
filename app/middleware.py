"""Around every request: its id, length, pace, entry in log and metrics. Plain ASGI, cheap on hot paths."""

import asyncio
import logging
import os
import re
import time
from http import HTTPStatus
from itertools import count
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import telemetry
from app.core.logging import log_context
from app.core.outages import first_line
from app.routing import log_level

logger = logging.getLogger(__name__)

_REQUESTS = Counter("squeeze_http_requests_total", "HTTP requests.", ["method", "route", "status", "project"])
_SECONDS = Histogram(
    "squeeze_http_request_duration_seconds",
    "Time from the request to the end of the response.",
    ["method", "route"],
)
_PROCESS, _NUMBERS = os.urandom(12).hex(), count()  # random bytes for every request cost a system call
_UNTRACED = ("/healthz", "/readyz", "/metrics")
"""Which machines ask for all the time."""
_ACCEPTABLE_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


class RequestLog:
    """Gives each request an id, or keeps the client's, and accounts for it when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        identifier = given if _ACCEPTABLE_ID.fullmatch(given) else f"{_PROCESS}{next(_NUMBERS):08x}"
        scope.setdefault("state", {})["request_id"] = identifier
        started = time.perf_counter()
        status = 0
        broken_off: Exception | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(scope=message)
                sent["x-request-id"] = identifier
                sent.update(scope["state"].get("response_headers", {}))
            await send(message)

        span = telemetry.NO_SPAN
        if scope["path"] not in _UNTRACED:
            span = telemetry.span(scope["method"], kind="server", parent=headers.get("traceparent"))
        with span, log_context(request_id=identifier, **span.ids):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                if not status:
                    raise
                broken_off = error  # the server closes the connection of an answer that is not whole
            finally:
                _account(scope, status or 500, time.perf_counter() - started, broken_off)
                if span.is_recording:
                    _describe(span, scope, status or 500, broken_off)


def _describe(span: telemetry.Span, scope: Scope, status: int, broken_off: Exception | None) -> None:
    """By the route, not the path, which is what a client makes of it."""
    method, route = scope["method"], getattr(scope.get("route"), "path", None)
    span.set(
        {
            "http.request.method": method,
            "http.response.status_code": status,
            "squeeze.request_id": scope["state"]["request_id"],
        }
    )
    if route is not None:
        span.rename(f"{method} {route}")
        span.set({"http.route": route})
    if (principal := scope["state"].get("principal")) is not None:
        span.set({"squeeze.project_id": principal.project_id})
    if broken_off is not None:
        span.fail(type(broken_off.__cause__ or broken_off).__name__)
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.fail(str(status))


def _account(scope: Scope, status: int, seconds: float, broken_off: Exception | None) -> None:
    # The template, not the path: a label for every id would grow without end.
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"]
    principal = scope["state"].get("principal")
    project = "none" if principal is None else principal.project_id
    _REQUESTS.labels(method, route, status, project).inc()
    _SECONDS.labels(method, route).observe(seconds)
    if broken_off is not None:
        # Starlette wraps what there is a handler for; of anything else the place is of interest.
        reason = broken_off.__cause__
        logger.error(
            "%s %s %d broke off after %.1f ms: %s",
            method,
            scope["path"],
            status,
            seconds * 1e3,
            first_line(reason or broken_off),
            exc_info=None if reason else broken_off,
        )
        return
    level = log_level(scope) if status < HTTPStatus.BAD_REQUEST else logging.INFO
    logger.log(level, "%s %s %d in %.1f ms", method, scope["path"], status, seconds * 1e3)


OFFSET_OCTET_STREAM: Final = "application/offset+octet-stream"
"""Of a part of an upload."""
_UPLOADS = ("multipart/form-data", OFFSET_OCTET_STREAM)


class BodyLimit:
    """Stops reading a request whose body is longer than allowed, whatever its headers say."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = headers.get("content-type", "").lower().startswith(_UPLOADS)
        limit = self._max_upload_bytes if is_upload else self._max_body_bytes
        declared = headers.get("content-length", "")
        expected = int(declared) if declared.isdecimal() else 0
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            if expected <= limit:
                message = await receive()
                received += len(message.get("body", b""))
            if max(expected, received) > limit:
                raise HTTPException(413, f"The request body exceeds the limit of {limit:,} bytes.")
            return message

        await self._app(scope, limited_receive, send)


class BodyDeadline:
    """Ends a request whose body comes too slowly. It waits on the event loop: no thread is held meanwhile.

    Args:
        app: what reads the body.
        whole_s: in which all of it has to be there.
        stall_s: for which nothing may come.
        min_bytes_per_s: so many bytes that come make up for a second without any.
    """

    def __init__(self, app: ASGIApp, *, whole_s: float, stall_s: float, min_bytes_per_s: int) -> None:
        self._app = app
        self._whole_s = whole_s
        self._stall_s = stall_s
        self._min_bytes_per_s = min_bytes_per_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = time.monotonic() + self._whole_s
        patience_s = self._stall_s
        is_whole = False

        async def timed_receive() -> Message:
            nonlocal patience_s, is_whole
            if is_whole:  # what is waited for now is that the client leaves
                return await receive()
            began = time.monotonic()
            try:
                async with asyncio.timeout(min(patience_s, deadline - began)):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            waited_s = time.monotonic() - began
            earned_s = len(message.get("body", b"")) / self._min_bytes_per_s
            patience_s = min(self._stall_s, patience_s - waited_s + earned_s)
            is_whole = not message.get("more_body", False)
            return message

        await self._app(scope, timed_receive, send)

    def _too_slow(self) -> HTTPException:
        return HTTPException(
            408,
            f"The request body came too slowly: it may take {self._whole_s:g} s, and fall behind "
            f"{self._min_bytes_per_s:,} bytes per second by {self._stall_s:g} s. Use a faster connection.",
            headers={"connection": "close"},
        )
