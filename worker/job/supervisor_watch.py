"""A job's process ends when its supervisor is gone, and when it is frozen beyond its lease.

On the child's standard input the supervisor writes, after each renewal, until when the lease holds: a line
with seconds of the monotonic clock, which all processes of a machine share. The end of the input tells that
the supervisor is gone. Nothing slow is imported here: a child sets up its watch before anything else.
"""

import math
import os
import select
import signal
import threading
import time

from app.core.confinement import end_with_parent

_STDIN = 0


class SupervisorWatch:
    """Kills this process and its group when they may no longer work on their job."""

    def __init__(self) -> None:
        self._lease_until = math.inf
        self._partial_line = b""
        self._reading = threading.Lock()

    def start(self) -> None:
        """Watch from now on, beside whatever else this process does.

        The kernel's signal follows the supervisor's thread that started this process. Standard input covers
        what it misses: a supervisor that was gone before the call.
        """
        end_with_parent()
        threading.Thread(target=self._watch, name="supervisor-watch", daemon=True).start()

    def check(self) -> None:
        """Return only while the lease holds.

        Ask before anything is published: a process that was frozen itself wakes at any of its lines. The
        renewals that came meanwhile are read first, for the watching thread may have waited for its turn
        behind a long native call.
        """
        with self._reading:
            while _has_input(0):
                chunk = os.read(_STDIN, 4096)
                if not chunk:
                    _die()
                *lines, self._partial_line = (self._partial_line + chunk).split(b"\n")
                if lines:
                    self._lease_until = float(lines[-1])
            if time.monotonic() >= self._lease_until:
                _die()

    def _watch(self) -> None:
        try:
            while True:
                left_s = self._lease_until - time.monotonic()
                _has_input(None if math.isinf(left_s) else max(0.0, left_s))
                self.check()
        finally:
            _die()  # without its watch no process goes on


def _has_input(timeout_s: float | None) -> bool:
    """Wait for it; several threads may at once."""
    return bool(select.select([_STDIN], [], [], timeout_s)[0])


def _die() -> None:
    os.killpg(0, signal.SIGKILL)
