"""Waiting for what happens in other processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from sqlalchemy import Engine, text


def wait_until(condition: Callable[[], object], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process is frozen by SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and its children, stopped for the length of the block."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pids = [pid, *map(int, children)]
    try:
        for process in pids:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        wait_until(lambda: is_stopped(pid))
        yield
    finally:
        for process in pids:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def redis_pid(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return client.info("server")["process_id"]


def postgres_pid(engine: Engine) -> int:
    """Of the server, whose children serve the connections."""
    with engine.connect() as connection:
        return int(connection.scalar(text("select split_part(pg_read_file('postmaster.pid'), chr(10), 1)")))
