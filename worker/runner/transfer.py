"""Moving files between the store and a work folder while the supervisor keeps the attempt's lease."""

import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from types import TracebackType
from typing import Generic, Self, TypeVar

from worker.runner.protocol import Alive, ChildEvent
from worker.runner.shutdown import Shutdown

T = TypeVar("T")
Check = Callable[[], None]
"""To be called between files and chunks: raises where the transfer is to end."""


class TransferStopped(Exception):  # noqa: N818 - what was asked for, not a fault
    """The transfer was asked to end."""


class Transfer(Generic[T]):
    """A function in a thread for the length of a ``with`` block; watched and stopped as a child process is.

    One that hangs in the store is left behind, and ends by the store's own time limits.
    """

    def __init__(self, move: Callable[[Check], T], *, shutdown: Shutdown, ends_on_shutdown: bool) -> None:
        """Prepare.

        Args:
            move: does the work.
            shutdown: wakes those who wait.
            ends_on_shutdown: else it goes on while the worker has time.
        """
        self._move = move
        self._ends_on_shutdown = ends_on_shutdown
        self._is_stopped = self._is_given_up = False
        self._future: Future[T] = Future()
        self._changed = os.eventfd(0, os.EFD_NONBLOCK)
        self._waits_for = [self._changed, shutdown.fileno()]
        self._shutdown = shutdown
        # A daemon: a store that hangs must not keep the worker from ending.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="transfer", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_stopped = True
        if self._future.done():
            self._thread.join()
            os.close(self._changed)

    @property
    def has_exited(self) -> bool:
        return self._is_given_up or self._future.done()

    def take_in(self, timeout_s: float) -> list[ChildEvent]:
        """Wait for its end; the store's time limits, not the job's, end one that makes no progress."""
        select.select(self._waits_for, [], [], max(0.0, timeout_s))
        if self._shutdown.requested:
            self._waits_for = [self._changed]  # said once is enough
        return [Alive()]

    def tell_lease(self, until: float) -> None:
        """Nothing that a transfer does needs a lease: what it writes no other attempt reads."""

    def ask_to_stop(self) -> None:
        self._is_stopped = True

    def ask_to_save_and_stop(self) -> None:
        self._is_stopped = self._is_stopped or self._ends_on_shutdown

    abort = ask_to_stop

    def kill(self) -> None:
        self._is_stopped = self._is_given_up = True
        os.eventfd_write(self._changed, 1)

    def result(self) -> T:
        """What the function returned, after its end; raises what it raised, or ``TransferStopped``."""
        if not self._future.done():
            raise TransferStopped
        return self._future.result()

    def _check(self) -> None:
        if self._is_stopped:
            raise TransferStopped

    def _run(self) -> None:
        try:
            self._future.set_result(self._move(self._check))
        except Exception as error:  # noqa: BLE001 - handed to who asks for the result
            self._future.set_exception(error)
        os.eventfd_write(self._changed, 1)
