"""Calling a function on untrusted data in a process of its own, with limits and without network.

The process is forked from one that has read nothing and knows no settings and no credentials
(``app.intake.fork_server``): of the environment it gets what is named here.
"""

import atexit
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGABRT, SIGKILL, SIGXCPU
from threading import Lock
from typing import IO, Any, BinaryIO, Literal

from app.domain.errors import InvalidRequest, SqueezeError, TooLarge, Unavailable
from app.intake.fork_server import OUT_OF_MEMORY, TIMED_OUT

logger = logging.getLogger(__name__)

_MAX_RESULT_BYTES = 32 * 2**20
_START_TIMEOUT_S = 60.0
_GRACE_S = 60.0
"""For the other process to import what a run needs, and to keep a deadline."""

_ROOT = str(Path(__file__).parents[2])
_ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # each arena reserves address space, which is what is limited
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # a fork would lack it
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Limits:
    """What a function may use."""

    memory_bytes: int
    """Of address space, beyond that of the interpreter and its libraries."""
    cpu_s: int
    wall_s: float
    """A generous multiple of ``cpu_s``: exceeding it alone says that the machine is busy."""
    file_bytes: int = 2**30
    """Of each file that it writes."""


class LimitExceededError(Exception):
    """The function used more than it may, or took its process down.

    Args:
        reason: what it used.
        step: at what it was, as it said itself.
    """

    def __init__(self, reason: Literal["memory", "CPU time", "crash"], *, step: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.step = step

    def explain(self, what: str, limits: Limits) -> InvalidRequest:
        """The error for the client whose upload it was.

        Args:
            what: was read, such as "the model".
            limits: that were set.
        """
        reasons = {
            "memory": f"needs more than {limits.memory_bytes / 2**30:g} GiB of memory",
            "CPU time": f"takes more than {limits.cpu_s} s of CPU time, the limit for its size",
            "crash": "crashes the library that reads it",
        }
        return InvalidRequest(
            "upload_too_expensive",
            f"Reading {what} {reasons[self.reason]}. Check that the files are intact or upload smaller ones.",
            reason=self.reason,
        )


def run_limited(
    function: str,
    argument: Any,
    limits: Limits,
    *,
    files: Sequence[BinaryIO] = (),
    folder: Path | None = None,
    modules: Sequence[str] = (),
) -> Any:
    """Call a function of this package in a process of its own.

    Args:
        function: as in ``app.package.module:name``.
        argument: the first one; JSON, as is the result.
        limits: of the process.
        files: further arguments, open for reading.
        folder: the only one that it may write to, and read beside the interpreter's own.
        modules: that it imports late, and which take long: imported once for all runs.

    Raises:
        LimitExceededError: the function used more memory or CPU time than it may, or crashed.
        InvalidRequest: as the function raises it; so ``TooLarge``, and an ``OSError`` by its number.
        Unavailable: the machine is too busy to finish in time.
    """
    request = {
        "function": function,
        "argument": argument,
        "limits": asdict(limits),
        "folder": None if folder is None else str(folder),
    }
    with ExitStack() as stack:
        # Files rather than pipes: they cannot block, and their size is limited.
        asked, result, log, step = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(4))
        asked.write(json.dumps(request).encode())
        asked.seek(0)
        fds = [file.fileno() for file in (asked, result, log, step, *files)]
        needed = [function.partition(":")[0], *modules]
        status = SERVER.run(fds, wall_s=limits.wall_s, modules=needed)
        if status == 0:
            return _result(json.loads(_content(result)))
        raise _failure(status, log=_content(log), step=_content(step).decode())


def require_plain_files(folder: Path) -> None:
    """Whatever wrote them has read a stranger's files: a link could lead to files of this service.

    Raises:
        RuntimeError: the folder has something else.
    """
    for path in folder.rglob("*"):
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) and (not stat.S_ISREG(found.st_mode) or found.st_nlink != 1):
            raise RuntimeError(f"{path.name} is no plain file")


class _Server:
    """The process that forks, started when it is first needed and whenever it has ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.lacking: list[str] = []
        """What the kernel cannot take from it."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def run(self, fds: Sequence[int], *, wall_s: float, modules: Sequence[str]) -> int | str:
        """A run's exit status, or that it was not over in time."""
        ours, theirs = socket.socketpair()
        with closing(ours):
            with closing(theirs):
                message = json.dumps({"wall_s": wall_s, "modules": modules})
                self._send(message.encode(), [theirs.fileno(), *fds])
            ours.settimeout(wall_s + _GRACE_S)
            try:
                answer = ours.recv(1024)
            except (TimeoutError, ConnectionResetError):
                answer = b""
        if not answer:
            raise _busy()
        status: int | str = json.loads(answer)
        return status

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _send(self, message: bytes, fds: Sequence[int]) -> None:
        with self._lock:
            try:
                socket.send_fds(self._running(), [message], fds)
            except OSError:  # it ended since it was last seen
                self._stop()
                socket.send_fds(self._running(), [message], fds)

    def _running(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            self._stop()
            self._control, self._process = self._start()
        return self._control

    def _stop(self) -> None:
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.kill()  # and, by that, what is under way
            self._process.wait()
        self._control = self._process = None

    def _start(self) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with closing(theirs):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.intake.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT | {"PYTHONPATH": _ROOT},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches the API alone, which first answers its requests
            )
        control.settimeout(_START_TIMEOUT_S)
        ready = control.recv(1024)
        if not ready:
            control.close()
            raise RuntimeError(f"the process that reads uploads ended with status {process.wait()}")
        self.lacking = json.loads(ready)
        if self.lacking:
            logger.warning(
                "uploads are read in a process without %s: the kernel, or the container, does not offer it",
                " and ".join(self.lacking),
            )
        return control, process


SERVER = _Server()
atexit.register(SERVER.close)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MAX_RESULT_BYTES)


def _result(outcome: dict[str, Any]) -> Any:
    if "errno" in outcome:
        raise OSError(outcome["errno"], os.strerror(outcome["errno"]))
    if "error" not in outcome:
        return outcome["result"]
    families: dict[str, type[SqueezeError]] = {"InvalidRequest": InvalidRequest, "TooLarge": TooLarge}
    raise families[outcome["error"]](
        outcome["code"], outcome["message"], pointer=outcome["pointer"], **outcome["details"]
    )


def _failure(status: int | str, *, log: bytes, step: str) -> Exception:
    if status == TIMED_OUT:
        return _busy()
    if status == -SIGXCPU:
        return LimitExceededError("CPU time", step=step)
    # Native code aborts where an allocation fails, and says so, but for other reasons too. The kernel kills.
    if status in {OUT_OF_MEMORY, -SIGKILL} or (status == -SIGABRT and b"alloc" in log):
        return LimitExceededError("memory", step=step)
    if isinstance(status, int) and status < 0:
        return LimitExceededError("crash", step=step)
    return RuntimeError(f"exit status {status}: {log[-2000:].decode(errors='replace')}")


def _busy() -> Unavailable:
    return Unavailable("server_busy", "The server is too busy to check the upload. Retry later.")
