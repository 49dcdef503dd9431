"""The child process of one attempt: start it, take in what it writes, stop it, learn how it ended."""

import logging
import os
import selectors
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from app.core.logging import record_of
from worker.runner.launch import Launcher
from worker.runner.machine_failures import disk_full
from worker.runner.oom import count_memory_kills, died_of_memory
from worker.runner.protocol import CHILD_EVENT, DISK_FULL_STATUS, ChildEvent, Failed
from worker.runner.shutdown import Shutdown

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 2**16
_LONGEST_LINE = 2**20
_KEPT_LINES = 40
_JOB_LOGGER = "worker.job"


class Child:
    """A process in a group of its own for the length of a ``with`` block: none of the group outlives it."""

    def __init__(
        self, launch: Launcher, arguments: Sequence[str], *, shutdown: Shutdown, lease_until: float
    ) -> None:
        self._memory_kills = count_memory_kills()
        input_fd, self._lease_fd = os.pipe()  # held open: its end tells the child that this process is gone
        self._events_fd, output_fd = os.pipe()
        self._stderr_fd, error_fd = os.pipe()
        os.set_blocking(self._lease_fd, False)
        self.tell_lease(lease_until)  # before it starts: this process may be frozen at any line
        try:
            self._process = launch(arguments, stdin=input_fd, stdout=output_fd, stderr=error_fd)
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for fd in (input_fd, output_fd, error_fd):
                os.close(fd)
        self._exit_status: int | None = None
        self._exit_fd = os.pidfd_open(self._process.pid)
        self._selector = selectors.DefaultSelector()
        for fd in (self._events_fd, self._stderr_fd):
            os.set_blocking(fd, False)
        for source in (self._events_fd, self._stderr_fd, self._exit_fd, shutdown):
            self._selector.register(source, selectors.EVENT_READ)
        self._shutdown = shutdown
        self._partial_line = b""
        self._partial_stderr = b""
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._peak_bytes = 0
        self.has_exited = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._reap()
        self._selector.close()
        os.close(self._exit_fd)
        self._close_pipes()

    def take_in(self, timeout_s: float) -> list[ChildEvent]:
        """Wait for something to happen, then return what the child has reported."""
        events: list[ChildEvent] = []
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if key.fd == self._exit_fd:
                self.has_exited = True
                self._selector.unregister(self._exit_fd)
            elif key.fd == self._shutdown.fileno():
                self._selector.unregister(self._shutdown)  # said once is enough
            elif key.fd == self._events_fd:
                events += self._read_events()
            else:
                self._relay_stderr()
        if self.has_exited:  # what it wrote last is still in the pipes
            events += self._read_events()
            self._relay_stderr(is_last=True)
        return events

    def tell_lease(self, until: float) -> None:
        """Let the child work until a time of the monotonic clock; one that reads nothing ends before it."""
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(self._lease_fd, b"%.3f\n" % until)

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def ask_to_save_and_stop(self) -> None:
        self._signal(signal.SIGUSR1)

    def abort(self) -> None:
        """End it with the stacks of its threads in the log."""
        self._signal(signal.SIGABRT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def why_it_died(self) -> Failed:
        """What the client hears, once the block has ended without an outcome."""
        code = self._exit_status
        assert code is not None
        logger.error(
            "child died with %s; its last lines:\n%s",
            code,
            "\n".join(self._last_lines),
        )
        if code == -signal.SIGKILL and died_of_memory(
            kills_before=self._memory_kills, peak_bytes=self._peak_bytes
        ):
            return Failed(
                code="out_of_memory",
                message=f"The job ran out of memory (peak {self._peak_bytes / 1e9:.1f} GB). Lower "
                "training.micro_batch_size or training.max_length.",
                retryable=True,
            )
        if code == -signal.SIGKILL:
            return Failed(
                code="killed",
                message="The job's process was killed by SIGKILL, from outside the service. If it happens "
                "again, look for who ends processes on the worker's machine, or for its memory limits.",
                retryable=True,
            )
        if code == DISK_FULL_STATUS:
            return disk_full()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        return Failed(
            code="worker_died",
            message=f"The job's process {how}. The worker log has the details.",
            retryable=True,
        )

    def _read_events(self) -> list[ChildEvent]:
        *lines, self._partial_line = (self._partial_line + self._read(self._events_fd)).split(b"\n")
        if len(self._partial_line) > _LONGEST_LINE:
            self._partial_line = b""
        events = []
        for line in lines:
            try:
                # PostgreSQL's JSON has no place for NUL.
                events.append(CHILD_EVENT.validate_json(line.replace(rb"\u0000", b"")))
            except ValidationError:
                logger.warning("child sent an invalid event: %r", line[:200])
        return events

    def _relay_stderr(self, *, is_last: bool = False) -> None:
        """Log each line; what comes later of an unfinished one is waited for."""
        *lines, self._partial_stderr = (self._partial_stderr + self._read(self._stderr_fd)).split(b"\n")
        if is_last or len(self._partial_stderr) > _LONGEST_LINE:
            lines.append(self._partial_stderr)
            self._partial_stderr = b""
        for line in lines:
            if text := line.decode(errors="replace").strip():
                record = record_of(text, logger=_JOB_LOGGER)
                logging.getLogger(record.name).handle(record)
                self._last_lines.append(record.getMessage())

    def _read(self, fd: int) -> bytes:
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        if not chunk and fd in self._selector.get_map():
            self._selector.unregister(fd)  # at its end a pipe is always ready
        return chunk

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group. The leader is reaped last, so that its id is not reused meanwhile."""
        if self._exit_status is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        self._exit_status, self._peak_bytes = self._process.wait()

    def _close_pipes(self) -> None:
        for fd in (self._lease_fd, self._events_fd, self._stderr_fd):
            os.close(fd)
