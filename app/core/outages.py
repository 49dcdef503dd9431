"""What the log says of services that are away or full: a line now and then, not one for each request."""

import logging
from threading import Lock
from time import monotonic

logger = logging.getLogger(__name__)

_REMEMBERED_S = 60.0


class Outages:
    """One line when a service stops working and one each half minute while it does not."""

    def __init__(self) -> None:
        self.quiet_s = 30.0
        """After a line about a service, and before the next."""
        self._lock = Lock()
        self._said_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self._full_at: dict[str, float] = {}

    def report(self, service: str, reason: object, *, state: str = "unavailable") -> None:
        """Log why a service cannot be used, unless that was done a moment ago."""
        if state == "full":
            self._full_at[service] = monotonic()
        self.log(service, f"the {service} is {state}: {first_line(reason)}")

    def log(self, subject: str, message: str) -> None:
        """Log an error, unless one about the same was logged a moment ago."""
        now = monotonic()
        with self._lock:
            if now < self._said_at.get(subject, float("-inf")) + self.quiet_s:
                self._unsaid[subject] = self._unsaid.get(subject, 0) + 1
                return
            self._said_at[subject] = now
            unsaid = self._unsaid.pop(subject, 0)
        more = f" ({unsaid} more since the last such line)" if unsaid else ""
        logger.error("%s%s", message, more)

    def is_full(self, service: str) -> bool:
        """Whether it had no room a minute ago or later."""
        return monotonic() < self._full_at.get(service, float("-inf")) + _REMEMBERED_S


def first_line(reason: object) -> str:
    """Of an error: what follows helps nobody where the reason is another service."""
    return str(reason).strip().partition("\n")[0] or type(reason).__name__
