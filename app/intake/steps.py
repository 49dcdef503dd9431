"""At what a process with limits is: what ends it leaves it no time to say."""

import os

_fd: int | None = None


def report_to(fd: int) -> None:
    """Keep the last step in a file, from now on and for the rest of the process."""
    global _fd  # noqa: PLW0603 - it is of the process, as its limits are
    _fd = fd


def begin(step: str) -> None:
    """Nothing where there are no limits: in the worker, in tests."""
    if _fd is not None:
        os.ftruncate(_fd, 0)
        os.pwrite(_fd, step.encode(), 0)
