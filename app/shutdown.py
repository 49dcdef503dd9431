"""Hearing of the end early: a server that stops waits for streams, which would not end by themselves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def heard_shutdown() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, before the server's own handlers hear of them."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping  # signals come to the main thread alone; elsewhere the app is a guest
        return
    earlier: dict[int, Any] = {}

    def hear(number: int, frame: FrameType | None) -> None:
        stopping.set()
        if callable(earlier[number]):
            earlier[number](number, frame)

    for termination in (signal.SIGTERM, signal.SIGINT):
        earlier[termination] = signal.signal(termination, hear)
    try:
        yield stopping
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
