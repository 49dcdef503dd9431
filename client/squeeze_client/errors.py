"""What can go wrong with a call, by kind. All are ``SqueezeError``."""

from dataclasses import dataclass
from typing import Any

import httpx


class SqueezeError(Exception):
    """Anything that this package raises on purpose."""


class ConnectionFailed(SqueezeError):  # noqa: N818 - what has happened
    """The service could not be reached, or broke off, and retrying did not help."""


class NotUploadable(SqueezeError, ValueError):  # noqa: N818
    """What was given for an upload cannot be sent; says what to do."""


class MissingExtra(SqueezeError, ImportError):  # noqa: N818
    """Something needs packages that are not installed; says which."""


class WaitTimeout(SqueezeError, TimeoutError):  # noqa: N818
    """A job, or a model that is being read, was not done in the time given. It goes on."""


class JobFailed(SqueezeError):  # noqa: N818
    """A job that was waited for has failed or was cancelled.

    Attributes:
        job: the job.
        code: the stable code of its error; None for one that was cancelled.
    """

    def __init__(self, message: str, *, job: Any, code: str | None) -> None:
        super().__init__(message)
        self.job = job
        self.code = code


@dataclass(frozen=True)
class Fault:
    """One fault of a request: what is wrong, and a JSON pointer to where in the body."""

    detail: str
    pointer: str | None = None


class ApiError(SqueezeError):
    """The service refused a request (RFC 9457).

    Attributes:
        status: of HTTP.
        type: the problem's stable URN.
        code: its last part, such as ``model_not_found``.
        title: in short what is wrong.
        detail: what is wrong and what to do about it.
        request_id: to find the request in the service's logs.
        faults: all faults of an invalid body, each with a pointer.
        body: the whole problem.
    """

    def __init__(self, response: httpx.Response) -> None:
        body = _problem(response)
        self.status = response.status_code
        self.body = body
        self.type = str(body.get("type", "about:blank"))
        self.code = self.type.rpartition(":")[2]
        self.title = str(body.get("title") or response.reason_phrase)
        self.detail = str(body.get("detail") or response.text[:500] or self.title)
        self.request_id: str | None = body.get("request_id") or response.headers.get("x-request-id")
        self.faults = [
            Fault(fault.get("detail", ""), fault.get("pointer")) for fault in body.get("errors") or []
        ]
        super().__init__(self._sentence())

    @property
    def pointers(self) -> list[str]:
        """Where in the request's body the faults are."""
        return [fault.pointer for fault in self.faults if fault.pointer is not None]

    def _sentence(self) -> str:
        places = "".join(
            f"\n  {fault.pointer or '#'}: {fault.detail}"
            for fault in self.faults
            if fault.detail not in self.detail
        )
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.detail}{places} [{self.status} {self.code}]{request}"


class InvalidRequest(ApiError):  # noqa: N818
    """400, 413 or 422: the request itself is wrong."""


class AuthenticationError(ApiError):
    """401: there is no valid API key."""


class PermissionDenied(ApiError):  # noqa: N818
    """403: the API key may not do this."""


class NotFound(ApiError):  # noqa: N818
    """404: there is no such thing."""


class Conflict(ApiError):  # noqa: N818
    """409: the state of the thing forbids it."""


class RateLimited(ApiError):  # noqa: N818
    """429: a limit is reached, and retrying within the client's patience did not help."""


class ServerError(ApiError):
    """5xx: the service, or one that it depends on, failed."""


_BY_STATUS = {
    400: InvalidRequest,
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}


def error_of(response: httpx.Response) -> ApiError:
    """The error that an answer of 4xx or 5xx stands for."""
    kind = _BY_STATUS.get(response.status_code)
    if kind is None:
        kind = ServerError if response.is_server_error else ApiError
    return kind(response)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
