"""Running a function on untrusted data in a process of its own, with limits on memory, CPU time and time.

The process is a fresh interpreter, never a fork of the server, whose threads may hold locks. It knows no
settings and no credentials: of the environment it gets what is named here.
"""

import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGABRT, SIGKILL, SIGXCPU
from threading import BoundedSemaphore
from typing import IO, Any, Literal

from app.domain.errors import Unavailable

_PROCESSES = BoundedSemaphore(4)
"""Limits how much memory all such processes of this server take together."""

_MAX_RESULT_BYTES = 2**20
_MAX_FILE_BYTES = 2**30
_OUT_OF_MEMORY = 77  # exit status
_ROOT = str(Path(__file__).parents[2])
_ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # each arena reserves address space, which is what is limited
    "RAYON_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Limits:
    """What a function may use, its interpreter included."""

    memory_bytes: int
    """Of address space."""
    cpu_s: int
    wall_s: float
    """A generous multiple of ``cpu_s``: exceeding it alone says that the machine is busy."""


class LimitExceededError(Exception):
    """The function used more than it may, or took its process down."""

    def __init__(self, reason: Literal["memory", "CPU time", "crash"]) -> None:
        super().__init__(reason)
        self.reason = reason


def run_limited(function: str, argument: Any, limits: Limits) -> Any:
    """Call a function of this package in a process of its own.

    Args:
        function: as in ``app.package.module:name``.
        argument: the only one; JSON, as is the result.
        limits: of the process.

    Raises:
        LimitExceededError: the function used more memory or CPU time than it may, or crashed.
        Unavailable: the machine is too busy to finish in time.
    """
    request = json.dumps({"function": function, "argument": argument, "limits": asdict(limits)})
    # Files rather than pipes: they cannot block, and their size is limited.
    with _PROCESSES, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        try:
            process = subprocess.run(
                [sys.executable, "-P", "-m", __name__],
                input=request.encode(),
                stdout=output,
                stderr=log,
                cwd="/",
                env=_ENVIRONMENT | {"PYTHONPATH": _ROOT},
                timeout=limits.wall_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                "server_busy", "The server is too busy to check the upload. Retry later."
            ) from None
        if process.returncode == 0:
            return json.loads(_content(output))
        raise _failure(process.returncode, _content(log))


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MAX_RESULT_BYTES)


def _failure(status: int, log: bytes) -> Exception:
    if status == -SIGXCPU:
        return LimitExceededError("CPU time")
    # Native code aborts where an allocation fails. The kernel kills, too.
    if status in {_OUT_OF_MEMORY, -SIGABRT, -SIGKILL}:
        return LimitExceededError("memory")
    if status < 0:
        return LimitExceededError("crash")
    return RuntimeError(f"exit status {status}: {log[-2000:].decode(errors='replace')}")


def _main() -> None:
    """Of the new process: read the request, take on the limits, call the function, write its result."""
    request = json.load(sys.stdin)
    limits = Limits(**request["limits"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    # Only the result goes to the standard output, whatever libraries print.
    result_file = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    gc.disable()  # it searches millions of objects of large JSON again and again, and the process ends soon
    module, _, name = request["function"].partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(request["argument"])
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    with result_file:
        json.dump(result, result_file)


if __name__ == "__main__":
    _main()
