"""What a job's process may do: it reads strangers' files, and needs nothing but its own folders."""

import logging
import os
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.core.confinement import LIBRARIES, drop_capabilities, refuse_sockets, restrict_files

logger = logging.getLogger(__name__)

_CHECKOUT = Path(__file__).parents[2]
_SYSTEM = (Path("/proc"), Path("/sys"), Path("/etc/passwd"))
"""Tells what the machine has. Memory and environments of other processes are kept by Landlock too."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - where processes share memory
_GPUS = ("nvidia*", "dri/*", "kfd")


def confine(writable: Sequence[Path]) -> None:
    """Leave this process these folders to write to, the libraries to read, and no network.

    It has one thread yet. Temporary files go to the first folder. What the kernel cannot do is logged.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    scratch = writable[0] / "tmp"
    scratch.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    dev = Path("/dev")
    drop_capabilities()
    lacking = []
    if not refuse_sockets():
        lacking.append("network")
    if not restrict_files(
        readable=(*LIBRARIES, *_SYSTEM, *(_CHECKOUT / name for name in ("app", "worker")), dev / "urandom"),
        writable=(*writable, _MEMORY),
        devices=(dev / "null", *(path for pattern in _GPUS for path in dev.glob(pattern))),
    ):
        lacking.append("files")
    if lacking:
        logger.warning("this kernel cannot keep the job from: %s", ", ".join(lacking))
