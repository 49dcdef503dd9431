"""The app behind a real server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from fastapi import FastAPI

from app.server import DrainingServer
from tests.processes import wait_until


@contextmanager
def serving(app: FastAPI) -> Iterator[int]:
    """Its port, a free one."""
    server = DrainingServer(
        app, host="127.0.0.1", port=0, drain=timedelta(seconds=20), keep_alive=timedelta(seconds=75)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
