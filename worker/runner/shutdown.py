"""Whether this process was asked to end."""

import os
import select
from datetime import timedelta


class Shutdown:
    """A flag that wakes waiting threads and selectors; signal handlers may set it."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self.requested = False

    def request(self) -> None:
        self.requested = True
        os.write(self._write_fd, b"\0")  # never read: the pipe stays readable for every waiter

    def wait(self, timeout: timedelta) -> bool:
        """Sleep until the flag is raised or time is up; whether it is raised."""
        select.select([self._read_fd], [], [], timeout.total_seconds())
        return self.requested

    def fileno(self) -> int:
        return self._read_fd
