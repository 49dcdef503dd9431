"""A process that imports what reads uploads, and forks into the process of each: only the first waits for it.

``python -m app.intake.fork_server <fd>``, where the file descriptor is a socket of whole messages, the other
end of which the API holds (``app.intake.limited_process``). It starts without network and first answers with
what the kernel cannot take from it. Each message then is a run: its deadline, the modules that it needs, and
file descriptors of

* a socket, on which the exit status is sent; the run is killed when the other end is closed,
* the request, and files for the result, for what is printed and for the step that is reached,
* the files that the function is to read.
"""

import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from app.core.confinement import (
    LIBRARIES,
    adopt_orphans,
    end_with_parent,
    landlock_version,
    leave_network,
    refuse_sockets,
    restrict_files,
)
from app.domain.errors import InvalidRequest, TooLarge
from app.intake import steps

OUT_OF_MEMORY = 77  # exit status
TIMED_OUT = "timed out"
MAX_FDS = 16

_MAX_MESSAGE = 1024
_MAX_OPEN_FILES = 64
# Of the checkout only this package: data may lie there.
_READABLE = (*LIBRARIES, Path(__file__).parents[1])


@dataclass
class _Run:
    pid: int
    pidfd: int
    status: socket.socket
    deadline: float
    is_overdue: bool = False


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    is_without_network = leave_network()  # before there is a second thread
    adopt_orphans()
    is_without_network |= refuse_sockets()  # either may be what the kernel has
    lacking = [] if landlock_version() else ["Landlock"]
    lacking += [] if is_without_network else ["seccomp or a network namespace"]
    control.send(json.dumps(lacking).encode())
    _Server(control).serve()


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._runs: dict[int, _Run] = {}
        self._asked_for: set[str] = set()

    def serve(self) -> None:
        """Until the API is gone, and then nothing of a run is left."""
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if key.fileobj is not self._control:
                    self._react(key.data, is_over=key.fd == key.data.pidfd)
                elif not self._accept():
                    for run in list(self._runs.values()):
                        self._kill(run)
                    return
            for run in self._runs.values():
                if time.monotonic() > run.deadline and not run.is_overdue:
                    run.is_overdue = True
                    self._kill(run)

    def _patience_s(self) -> float | None:
        waiting = [run.deadline for run in self._runs.values() if not run.is_overdue]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _accept(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._control, _MAX_MESSAGE, MAX_FDS)
        if not message:
            return False
        asked = json.loads(message)
        self._import(asked["modules"])
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            _run(fds[1:], server)
        for fd in fds[1:]:
            os.close(fd)
        run = _Run(
            pid,
            os.pidfd_open(pid),
            socket.socket(fileno=fds[0]),
            time.monotonic() + asked["wall_s"],
        )
        self._runs[pid] = run
        for source in (run.pidfd, run.status):
            self._selector.register(source, selectors.EVENT_READ, run)
        return True

    def _react(self, run: _Run, *, is_over: bool) -> None:
        if run.pid not in self._runs:  # both of its ends were reported at once
            return
        self._kill(run)
        if not is_over:
            self._selector.unregister(run.status)
            return
        _, status = os.waitpid(run.pid, 0)
        del self._runs[run.pid]
        self._kill_orphans()
        answer = TIMED_OUT if run.is_overdue else os.waitstatus_to_exitcode(status)
        with suppress(OSError):  # nobody waits for it any more
            run.status.send(json.dumps(answer).encode())
        self._selector.unregister(run.pidfd)
        with suppress(KeyError):
            self._selector.unregister(run.status)
        os.close(run.pidfd)
        run.status.close()

    def _import(self, modules: list[str]) -> None:
        new = [module for module in modules if module not in self._asked_for]
        if not new:
            return
        self._asked_for.update(new)
        for module in new:
            with suppress(ImportError):  # a run that needs it says so
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # so that no collection in a fork copies the memory they share

    def _kill_orphans(self) -> None:
        """What a run has left, in whatever session: the server is its parent now."""
        while orphans := [pid for pid in _children() if pid not in self._runs]:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    @staticmethod
    def _kill(run: _Run) -> None:
        """The process, which is not waited for yet, and its group, once it has one."""
        for kill in (os.kill, os.killpg):
            with suppress(ProcessLookupError, PermissionError):
                kill(run.pid, signal.SIGKILL)


def _children() -> list[int]:
    """Unknown, hence none, where the kernel does not list them."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def _run(fds: list[int], server: int) -> NoReturn:
    """In the new process: read the request, take on the limits, call the function, write its result."""
    status = 1
    try:
        _call(fds, server)
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - nothing of the server may go on in this process
        traceback.print_exc()
    os._exit(status)


def _call(fds: list[int], server: int) -> None:
    end_with_parent()
    if os.getppid() != server:
        return
    os.setsid()
    _close_others(fds)
    request_fd, result_fd, log_fd, step_fd, *files = fds
    # Only the result goes to its file, whatever libraries print.
    nothing_fd = os.open(os.devnull, os.O_RDONLY)
    for standard, fd in enumerate((nothing_fd, log_fd, log_fd)):
        os.dup2(fd, standard)
    os.close(nothing_fd)
    with os.fdopen(request_fd, encoding="ascii") as file:
        request = json.load(file)
    steps.report_to(step_fd)
    module, _, name = request["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    _take_on_limits(request["limits"])
    folder = request["folder"]
    tempfile.tempdir = folder
    restrict_files(readable=_READABLE, writable=[] if folder is None else [Path(folder)])
    gc.disable()  # it searches millions of objects of large JSON again and again, and the process ends soon
    outcome: dict[str, Any]
    try:
        outcome = {"result": function(request["argument"], *(os.fdopen(fd, "rb") for fd in files))}
    except (InvalidRequest, TooLarge) as error:
        outcome = {
            "error": "TooLarge" if isinstance(error, TooLarge) else "InvalidRequest",
            "code": error.code,
            "message": error.message,
            "pointer": error.pointer,
            "details": error.details,
        }
    except OSError as error:
        if error.errno is None:
            raise
        outcome = {"errno": error.errno}
    with os.fdopen(result_fd, "w", encoding="ascii") as file:
        json.dump(outcome, file)


def _take_on_limits(limits: dict[str, Any]) -> None:
    pages = int(Path("/proc/self/statm").read_text().partition(" ")[0])
    memory_bytes = pages * resource.getpagesize() + limits["memory_bytes"]
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES, _MAX_OPEN_FILES),
        (resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 1),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
    ):
        resource.setrlimit(kind, (soft, hard))


def _close_others(fds: list[int]) -> None:
    """Sockets of the server and of other runs."""
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd > 2 and fd not in fds:
            with suppress(OSError):  # the folder that was listed
                os.close(fd)


if __name__ == "__main__":
    main()
