"""Other processes as the kernel shows them, and freezing them."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL_S = 0.02


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    return _state(pid) not in (None, "Z")


def is_stopped(pid: int) -> bool:
    """Whether a process is frozen by SIGSTOP."""
    return _state(pid) == "T"


def children(pid: int) -> list[int]:
    """Whichever of its threads started them; none of a process that has ended."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """Children first, then theirs."""
    own = children(pid)
    return own + [each for child in own for each in descendants(child)]


def command_of(pid: int) -> str:
    """Its arguments, or nothing where it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def resident_mib(pid: int) -> float:
    """Memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def send(number: signal.Signals, pids: Sequence[int]) -> None:
    """Signal processes, those of them that still run."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and all that it started, stopped for the length of the block."""
    pids = [pid, *descendants(pid)]
    try:
        send(signal.SIGSTOP, pids)
        while is_alive(pid) and not is_stopped(pid):
            time.sleep(_POLL_S)
        yield
    finally:
        send(signal.SIGCONT, pids)


def happens(condition: Callable[[], object], *, within_s: float) -> bool:
    """Wait until a condition holds; whether it did in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _state(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
