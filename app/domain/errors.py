"""The errors of the domain. Nothing here knows HTTP: ``app.errors`` gives each family its status."""

from typing import Any


class SqueezeError(Exception):
    """An error for the client: a stable code and a message that says what to do.

    Args:
        code: stable, snake_case; becomes the problem's ``type``.
        message: one or two sentences that name the values at fault and what to do.
        pointer: JSON pointer to the fault in the request, such as ``#/target``.
        details: every variable of the message, as data.
    """

    def __init__(self, code: str, message: str, *, pointer: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.pointer = pointer
        self.details = details


class NotFound(SqueezeError):
    """The requested resource does not exist."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(f"{kind}_not_found", f"There is no {kind} {id_!r}.", id=id_)


class InvalidRequest(SqueezeError):
    """The request, or a file in it, is invalid."""


class Unauthenticated(SqueezeError):
    """The request has no API key, or one that is not valid."""


class Forbidden(SqueezeError):
    """The request is valid, but whoever sent it may not do that."""


class Conflict(SqueezeError):
    """The request is valid, but conflicts with the current state of the resource."""


class InProgress(Conflict):
    """The same request is being handled at this moment; sent again a little later, it gets its answer."""


class TooLarge(SqueezeError):
    """The request exceeds a size limit."""


class Overloaded(SqueezeError):
    """The server is at capacity; the same request may succeed in a moment."""


class DeadlineExceeded(SqueezeError):
    """The client allowed less time than its request took."""


class RateLimited(Overloaded):
    """Whoever sent the request has used up what they may, for a while.

    Args:
        code: as for all errors.
        message: as for all errors.
        retry_after_s: when the same request may succeed.
        policy: name of the limit.
        details: every variable of the message, as data.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: float, policy: str, **details: Any) -> None:
        super().__init__(code, message, **details)
        self.details["violated-policies"] = [policy]  # as RFC 9457's registry of problem types spells it
        self.retry_after_s = retry_after_s


class Unavailable(SqueezeError):
    """A service that this one depends on does not respond; the same request may succeed later."""


class NotReady(Unavailable):
    """What a probe is told; who asks for the states of the dependencies logs how they change."""


class Unreadable(SqueezeError):
    """A stored row that this version of the service cannot read: a later one wrote it, or it is damaged."""

    def __init__(self, id_: str, message: str) -> None:
        super().__init__("unreadable_row", message, id=id_)


class NewerVersion(Unreadable):
    """A stored row that a later version of the service wrote; that version can read it."""

    def __init__(self, id_: str, message: str) -> None:
        super().__init__(id_, f"{message} A later version of the service wrote it.")


class JobError(SqueezeError):
    """Ends a running job as failed."""


class RetryableJobError(JobError):
    """A job that failed for a temporary reason and is requeued."""


class JobCancelled(Exception):
    """Raised inside a job once its client has cancelled it."""
