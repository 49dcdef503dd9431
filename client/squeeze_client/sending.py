"""Requests with retries: what may be repeated is, after a pause that grows and that the service can set."""

import math
import random
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from uuid import uuid4

import httpx

from squeeze_client.effects import Open, Opened, Request, Sleep, Steps
from squeeze_client.errors import ConnectionFailed, error_of

MAX_RETRIES = 4
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_LONGEST_RETRY_AFTER_S = 120.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_NOT_BEGUN = frozenset({429, 503})
"""Statuses of requests that were not carried out."""


def once(request: Request) -> Request:
    """The request with an idempotency key: however often it is sent, it creates once."""
    return replace(request, headers={**request.headers, "idempotency-key": uuid4().hex})


def send(request: Request) -> Steps[httpx.Response]:
    """Send a request until it is answered.

    Raises:
        ApiError: it is refused.
        ConnectionFailed: the service does not respond.
    """
    for attempt in range(MAX_RETRIES + 1):
        is_last = attempt == MAX_RETRIES
        try:
            response: httpx.Response = yield request
        except httpx.TransportError as error:
            can_help = request.can_repeat or isinstance(error, httpx.ConnectError)
            if is_last or not can_help or _is_final(error):
                raise unreached(request, error) from error
            yield Sleep(pause(attempt))
            continue
        if not response.is_error:
            return response
        wait_s = retry_pause(response, attempt)
        if is_last or wait_s is None or not (request.can_repeat or response.status_code in _NOT_BEGUN):
            raise error_of(response)
        yield Sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def send_once(request: Request) -> Steps[httpx.Response]:
    """Send a request, and take whatever the answer is.

    Raises:
        ConnectionFailed: the service does not respond.
    """
    try:
        response: httpx.Response = yield request
    except httpx.TransportError as error:
        raise unreached(request, error) from error
    return response


def open_stream(request: Open) -> Steps[Opened]:
    """Open an answer that is read piece by piece, with the same retries."""
    for attempt in range(MAX_RETRIES + 1):
        is_last = attempt == MAX_RETRIES
        try:
            opened: Opened = yield request
        except httpx.TransportError as error:
            if is_last or _is_final(error):
                raise unreached(request.request, error) from error
            yield Sleep(pause(attempt))
            continue
        if not opened.response.is_error:
            return opened
        wait_s = retry_pause(opened.response, attempt)
        if is_last or wait_s is None:
            raise error_of(opened.response)
        yield Sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def pause(attempt: int) -> float:
    """Seconds before the next attempt: doubled each time, and anything from half to all of it."""
    longest: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
    return longest * random.uniform(0.5, 1)  # noqa: S311


def retry_pause(response: httpx.Response, attempt: int) -> float | None:
    """Seconds after which to repeat a refused request; None if that would not help, or not soon."""
    advised = response.headers.get("x-should-retry")
    is_passing = response.status_code in _PASSING or "request_in_progress" in response.text
    if advised == "false" or not (is_passing or advised == "true"):
        return None
    stated = _retry_after(response)
    if stated is None:
        return pause(attempt)
    return None if stated > _LONGEST_RETRY_AFTER_S else max(stated, 0.0)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, or a date (RFC 9110); None if it is neither."""
    header = response.headers.get("retry-after")
    if header is None:
        return None
    try:
        seconds = float(header)
        return None if math.isnan(seconds) else seconds
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(header).timestamp() - time.time()
    except ValueError:
        return None


def _is_final(error: httpx.TransportError) -> bool:
    """Whether it is the address that is wrong, which no retry changes."""
    return isinstance(error, httpx.UnsupportedProtocol)


def unreached(request: Request, error: httpx.TransportError) -> ConnectionFailed:
    """What is raised where the service does not respond, or broke off."""
    return ConnectionFailed(
        f"{request.method} {request.path}: no answer from the service ({type(error).__name__}: {error}). "
        "Check that it runs (`squeeze up`), and its address (SQUEEZE_URL)."
    )
