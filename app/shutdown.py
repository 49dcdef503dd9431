"""Notices a shutdown early: a stopping server waits for its streams, which do not end by themselves."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def on_termination(callback: Callable[[], object]) -> Iterator[None]:
    """For the length of the block, run a callback on SIGTERM and SIGINT, before the server's own handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    earlier: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        callback()
        if callable(earlier[number]):
            earlier[number](number, frame)

    for termination in (signal.SIGTERM, signal.SIGINT):
        earlier[termination] = signal.signal(termination, handle)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
