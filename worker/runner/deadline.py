"""When an attempt must have ended: before its lease does, for another worker may begin then."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from app.core.settings import Settings
from worker.runner.protocol import ChildEvent


class Part(Protocol):
    """What an attempt is at: its child process, or a transfer of files."""

    @property
    def has_exited(self) -> bool: ...

    def take_in(self, timeout_s: float) -> list[ChildEvent]:
        """Wait for something to happen; what has been reported."""

    def tell_lease(self, until: float) -> None:
        """Until when it may work, of the monotonic clock."""

    def ask_to_stop(self) -> None: ...

    def ask_to_save_and_stop(self) -> None: ...

    def abort(self) -> None: ...

    def kill(self) -> None: ...


class Deadline:
    """Kills what the attempt is at a heartbeat before its lease ends, for the length of a ``with`` block.

    A thread of its own, because the supervisor's loop may hang in a call to the very database that is away.
    Where this whole process is frozen, the child ends itself.
    """

    def __init__(self, settings: Settings, *, held_since: float) -> None:
        self._settings = settings
        self._renewed_at = held_since
        self._part: Part | None = None
        self._is_over = False
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lease-deadline", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @contextmanager
    def guarding(self, part: Part) -> Iterator[None]:
        """For the length of the block it is this part that is killed; at once where the time is over."""
        with self._lock:
            self._part = part
            if self._is_over:
                part.kill()
        try:
            yield
        finally:
            with self._lock:
                self._part = None

    @property
    def has_passed(self) -> bool:
        """By the clock too: after a freeze this may be asked before the thread has woken."""
        return self._is_over or time.monotonic() >= self._at

    @property
    def child_may_work_until(self) -> float:
        """Before the lease ends, and after the deadline that its supervisor, unless it is frozen, keeps."""
        return self._renewed_at + (self._settings.lease - self._settings.heartbeat / 2).total_seconds()

    def move(self, renewed_at: float) -> None:
        """The lease was renewed."""
        with self._lock:
            self._renewed_at = renewed_at
            if self._part is not None:
                self._part.tell_lease(self.child_may_work_until)

    @property
    def _at(self) -> float:
        return self._renewed_at + (self._settings.lease - self._settings.heartbeat).total_seconds()

    def _watch(self) -> None:
        while not self._done.wait(self._at - time.monotonic()):
            with self._lock:
                if time.monotonic() >= self._at:
                    self._is_over = True
                    if self._part is not None:
                        self._part.kill()
                    return
