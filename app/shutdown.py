"""Notices a shutdown early: a stopping server waits for its streams, which do not end by themselves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def shutdown_event() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, before the server's own handlers run."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping  # only the main thread receives signals
        return
    earlier: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        stopping.set()
        if callable(earlier[number]):
            earlier[number](number, frame)

    for termination in (signal.SIGTERM, signal.SIGINT):
        earlier[termination] = signal.signal(termination, handle)
    try:
        yield stopping
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
