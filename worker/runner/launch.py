"""How the process of an attempt is started: by a command, or as a fork of a process that has all imports."""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)

# Everything else stays here: the child needs no password, of the database, the broker or the store.
_SYSTEM = ("PATH", "HOME", "USER", "LANG", "LC_", "LD_", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHON", "XDG_")
_COMPUTE = ("OMP_", "GOMP_", "KMP_", "MKL_", "TORCH", "PYTORCH_", "TRITON_", "CUDA_", "NVIDIA_", "NCCL_")
_KERNELS = ("ONEDNN_", "DNNL_", "LRU_CACHE_CAPACITY")
_PASSED_ON = _SYSTEM + _COMPUTE + _KERNELS
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}

TRAINING_DEFAULTS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "256"}
"""oneDNN keeps a kernel for every shape it meets, and batches of like length have many. As it comes, memory
grew to 6.5 GB and a step to nearly twice its time within 3,000 steps of a small translation model."""
_SPINS = "10000"
"""How often OpenMP's threads look for work before they sleep, where ``OMP_WAIT_POLICY`` does not say. With
it, with libgomp's own and where threads sleep at once, a small distillation beside predictions of MiniLM took
23.5, 23.8 and 29.7 s, a prediction 9.4, 11.3 and 7.3 ms, a step of two at once 177, 1,600 and 76."""


PIPELINE = (sys.executable, "-P", "-m", "worker.job.main")
_FORK_SERVER = (sys.executable, "-P", "-m", "worker.job.fork_server")
_UNTOUCHED_GPU = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""A process that has initialised CUDA must not fork, and looking for a GPU by CUDA initialises it."""

_ANSWER_S = 120
"""How long the server may take to answer: its imports take seconds, many on a machine that is busy."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Process(Protocol):
    """A process in a session of its own."""

    @property
    def pid(self) -> int:
        """Not reused before ``wait``."""

    def wait(self) -> tuple[int, int]:
        """Wait for its end: the exit status, negative for a signal, and the most bytes it had in memory."""


class Launcher(Protocol):
    """Starts the process of an attempt: ``worker.job.main`` says what its arguments are."""

    def __call__(self, arguments: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> Process: ...


@dataclass(frozen=True)
class Command:
    """Starts a process by a command, to which the arguments are added."""

    command: Sequence[str] = PIPELINE

    def __call__(self, arguments: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> Process:
        return _Spawned(
            subprocess.Popen(
                [*self.command, *arguments],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=child_environment(os.environ),
            )
        )


class ForkServer:
    """Starts processes as forks of one that has imported what they need, which takes seconds each time.

    Its process is started ahead of the first job. Where it is not ready, for nobody waits while a lease runs,
    or is gone, a job is started by the command. One job at a time.
    """

    def __init__(self, fallback: Launcher | None = None) -> None:
        self._fallback = fallback or Command()
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def start(self) -> None:
        """Have the server ready, or becoming so."""
        with self._lock:
            if self._server is None:
                self._server = _Server()

    @property
    def pid(self) -> int | None:
        """Of the server; None before it is started."""
        return None if self._server is None else self._server.pid

    def wait_until_ready(self, *, unless: HasFileno) -> None:
        """Wait until the server can fork, is gone, or something else has happened."""
        self.start()
        assert self._server is not None
        self._server.wait_until_ready(_ANSWER_S, unless=[unless])

    def __call__(self, arguments: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> Process:
        self.start()
        assert self._server is not None
        try:
            if self._server.wait_until_ready(0):
                return self._server.fork(arguments, (stdin, stdout, stderr))
        except (OSError, ValueError):
            logger.exception("the process that starts jobs is gone")
            self.close()
            self.start()
        return self._fallback(arguments, stdin=stdin, stdout=stdout, stderr=stderr)

    def close(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()


class _Server:
    """The process of ``worker.job.fork_server`` and the socket that leads to it."""

    def __init__(self) -> None:
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_ANSWER_S)
        self._is_ready = self._has_forked = False
        with far:
            self._process = subprocess.Popen(
                [*_FORK_SERVER, str(far.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[far.fileno()],
                start_new_session=True,
                env=child_environment(os.environ) | _UNTOUCHED_GPU,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, timeout_s: float, *, unless: Sequence[HasFileno] = ()) -> bool:
        """Whether it is ready to fork, or gone, which ``fork`` will tell."""
        if not self._is_ready:
            self._is_ready = self._socket in select.select([self._socket, *unless], [], [], timeout_s)[0]
        return self._is_ready

    def fork(self, arguments: Sequence[str], standard_fds: Sequence[int]) -> Process:
        """Raises OSError or ValueError where the server does not answer as it should."""
        if not self._has_forked:
            if self._answer() != b"ready":
                raise ValueError("it ended before it was ready")
            self._has_forked = True
        socket.send_fds(self._socket, [json.dumps(list(arguments)).encode()], standard_fds)
        return _Forked(int(self._answer()), self)

    def wait(self) -> tuple[int, int]:
        """For the end of the process that was forked last."""
        try:
            self._socket.send(b"wait")
            status, peak_kib = json.loads(self._answer())
        except (OSError, ValueError):  # gone, and what it had forked with it
            return -signal.SIGKILL, 0
        return status, peak_kib * 1024

    def close(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _answer(self) -> bytes:
        return self._socket.recv(2**10)


@dataclass(frozen=True)
class _Spawned:
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self) -> tuple[int, int]:
        _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode, usage.ru_maxrss * 1024


@dataclass(frozen=True)
class _Forked:
    pid: int
    server: _Server

    def wait(self) -> tuple[int, int]:
        return self.server.wait()


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of this process's environment the child gets: what begins with one of a few names."""
    passed = {name: value for name, value in environment.items() if name.startswith(_PASSED_ON)}
    # The count would overrule the policy.
    spins = {} if "OMP_WAIT_POLICY" in passed else {"GOMP_SPINCOUNT": _SPINS}
    return TRAINING_DEFAULTS | spins | passed | _OFFLINE
