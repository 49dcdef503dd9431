"""The API as one process, or as several that share a listening socket."""

import gc
import logging
import signal
import socket
import sys
import time
from contextlib import closing, suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeAlias

from app.core.confinement import end_with_parent
from app.core.logging import configure_logging
from app.core.settings import Settings
from app.core.telemetry import close_telemetry, configure_telemetry
from app.engine.threads import usable_cores

logger = logging.getLogger(__name__)

Role: TypeAlias = Literal["api", "serve"]
"""All of the API, or predictions alone."""

_BACKLOG: Final = 2048
_NOT_STARTED: Final = 1
_PAUSE_S: Final = 1.0
"""Before another process takes the place of one that ended."""


def run_api(role: Role, settings: Settings, *, processes: int) -> int:
    """Serve until a signal ends it; returns the exit status."""
    if processes < 1:
        raise SystemExit("squeeze: the number of workers must be at least 1")
    if processes == 1:
        return _serve(role, settings)
    configure_logging(settings.log_format)
    if not settings.inference_threads:
        share = max(1, usable_cores() // processes)
        settings = settings.model_copy(update={"inference_threads": share})
    with (
        closing(_listener(settings.host, settings.port)) as listener,
        TemporaryDirectory(prefix="squeeze-") as folder,
    ):
        return _Members(role, settings, listener, Path(folder)).run(processes)


class _Members:
    """The processes behind one socket."""

    def __init__(self, role: Role, settings: Settings, listener: socket.socket, folder: Path) -> None:
        self._role = role
        self._settings = settings
        self._listener = listener
        self._folder = folder

    def run(self, count: int) -> int:
        """Keep so many of them, until a signal comes or one cannot start."""
        members = {number: self._start(number) for number in range(count)}
        try:
            while True:
                wait([member.sentinel for member in members.values()])
                for number, member in members.items():
                    if member.exitcode is None:
                        continue
                    if member.exitcode == _NOT_STARTED:
                        return _NOT_STARTED
                    logger.error("process %d ended with status %d; starting another", number, member.exitcode)
                    time.sleep(_PAUSE_S)
                    members[number] = self._start(number)
        finally:
            self._listener.close()  # nobody new is let in
            self._stop(list(members.values()))

    def _start(self, number: int) -> SpawnProcess:
        place = self._folder / f"{number}.sock"
        member = get_context("spawn").Process(
            target=_serve_as_member, args=(self._role, self._settings, place, self._listener)
        )
        member.start()
        return member

    def _stop(self, members: list[SpawnProcess]) -> None:
        for member in members:
            member.terminate()
        # Each ends by itself, a quarter later at the most.
        deadline = time.monotonic() + 1.5 * self._settings.drain.total_seconds()
        for member in members:
            member.join(max(0.0, deadline - time.monotonic()))
            member.kill()
            member.join()


def _serve_as_member(role: Role, settings: Settings, place: Path, listener: socket.socket) -> None:
    end_with_parent(signal.SIGTERM)
    # As in the process of the command: the server raises it again once it has stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        sys.exit(_serve(role, settings, place, listener))


def _serve(
    role: Role, settings: Settings, place: Path | None = None, listener: socket.socket | None = None
) -> int:
    gc.disable()  # until the server has started: what imports make is there for good
    from app.process_metrics import ProcessMetrics
    from app.server import DrainingServer

    configure_logging(settings.log_format)
    configure_telemetry("squeeze-api")
    metrics = ProcessMetrics(place)
    if role == "api":
        from app.main import create_app

        app = create_app(settings, metrics)
    else:
        from app.serving import create_serving_app

        app = create_serving_app(settings, metrics)
    server = DrainingServer(
        app,
        host=settings.host,
        port=settings.port,
        drain=settings.drain,
        keep_alive=settings.keep_alive,
    )
    try:
        server.run(sockets=None if listener is None else [listener])
    finally:
        close_telemetry()
    return 0 if server.started else _NOT_STARTED


def _listener(host: str, port: int) -> socket.socket:
    """Raises ``SystemExit`` where the address is in use."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), int(address[1])), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SystemExit(f"squeeze: cannot listen on {host} port {port}: {error}") from None
