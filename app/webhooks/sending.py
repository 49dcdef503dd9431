"""One attempt to deliver a message, over HTTP. Redirects are not followed: they are failures."""

import time
from dataclasses import dataclass
from http import HTTPStatus

import httpcore
import httpx

from app.core.network import NO_ANSWER, AddressRefused, CheckedNetwork, request_target, ssl_context

_ANSWER_BYTES = 1024
"""Of the answer's body that is read, for the log."""
_USER_AGENT = "Squeeze-Webhooks/1"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    duration_s: float
    status_code: int | None = None
    """Of the answer; None where there was none."""
    error: str | None = None
    """Why there was none."""
    answer: str = ""
    """The beginning of its body."""
    retry_after_s: float = 0.0
    """As the receiver asks for it."""

    @property
    def is_delivered(self) -> bool:
        return self.status_code is not None and HTTPStatus(200) <= self.status_code < HTTPStatus(300)


def send(url: str, headers: dict[str, str], body: bytes, *, timeout_s: float, allow_private: bool) -> Outcome:
    """Post a body.

    Args:
        url: of the receiver.
        headers: beside those that any post has.
        body: JSON.
        timeout_s: for all of it.
        allow_private: send it to addresses that are not public, too.
    """
    started = time.monotonic()
    parsed = httpx.URL(url)
    sent = list((_common_headers(parsed, body) | headers).items())
    network = CheckedNetwork(timeout_s=timeout_s, allow_private=allow_private)
    try:
        with (
            httpcore.ConnectionPool(ssl_context=ssl_context(), network_backend=network) as connections,
            connections.stream("POST", request_target(parsed), headers=sent, content=body) as response,
        ):
            return Outcome(
                status_code=response.status,
                answer=_beginning(response),
                retry_after_s=_retry_after(response),
                duration_s=time.monotonic() - started,
            )
    except AddressRefused as error:
        reason = str(error)
    except NO_ANSWER as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return Outcome(error=reason, duration_s=time.monotonic() - started)


def _common_headers(url: httpx.URL, body: bytes) -> dict[str, str]:
    return {
        "host": url.netloc.decode("ascii"),
        "user-agent": _USER_AGENT,
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }


def _beginning(response: httpcore.Response) -> str:
    content = b""
    try:
        for chunk in response.iter_stream():
            content += chunk
            if len(content) >= _ANSWER_BYTES:
                break
    except NO_ANSWER:
        pass  # the status has told what counts
    return content[:_ANSWER_BYTES].decode(errors="replace").replace("\0", "\ufffd")


def _retry_after(response: httpcore.Response) -> float:
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 9:
            return float(value)
    return 0.0
