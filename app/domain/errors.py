"""The errors of the domain. Nothing here knows HTTP: ``app.errors`` gives each family its status."""

from typing import Any


class SqueezeError(Exception):
    """What went wrong, for the client: a stable machine code and a sentence that says what to do.

    Args:
        code: stable, snake_case; becomes the problem's ``type``.
        message: one or two sentences that name the values at fault and the way out.
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
    """The thing that was asked for does not exist."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(f"{kind}_not_found", f"There is no {kind} {id_!r}.", id=id_)


class InvalidRequest(SqueezeError):
    """The request, or a file in it, is wrong in itself."""


class Conflict(SqueezeError):
    """The request is sound, but the state of the thing forbids it."""


class TooLarge(SqueezeError):
    """The request is larger than this server takes."""


class Overloaded(SqueezeError):
    """More is asked than this server can take at once; the same request may succeed in a moment."""


class Unavailable(SqueezeError):
    """A service that this one stands on does not answer; the same request may succeed later."""


class Unreadable(SqueezeError):
    """A stored row that this version of the service cannot read: a later one wrote it, or it is damaged."""

    def __init__(self, id_: str, message: str) -> None:
        super().__init__("unreadable_row", message, id=id_)


class JobError(SqueezeError):
    """A job that ran and must end as failed."""


class RetryableJobError(JobError):
    """A job that failed for a passing reason and goes back to the queue."""


class JobCancelled(Exception):
    """Raised inside a job once its client has asked it to stop."""
