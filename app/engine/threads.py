"""How the cores of a machine are shared by the runs of a model."""

import math
import os
import sys
from pathlib import Path
from typing import Final

from app.domain.architectures import Architecture
from app.domain.tasks import Head

_CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Of the process's own control group, as a container sees it: microseconds in each period."""

PARAMETERS_PER_THREAD = 10_000_000
"""Parameters of layers from which another thread pays for one prediction, measured at one text of 25 tokens.

Below it, waking the thread costs what it gains: runs side by side use the cores better.
"""


def share_threads(threads: int, architecture: Architecture, head: Head) -> tuple[int, int]:
    """Threads of one run, and how many runs go at once."""
    each = min(threads, max(1, architecture.count(head=head).body // PARAMETERS_PER_THREAD))
    return each, threads // each


def threads_per_run(architecture: Architecture, head: Head) -> int:
    """Threads of one run where a model is served by all cores of this machine."""
    return share_threads(usable_cores(), architecture, head)[0]


def usable_cores() -> int:
    """Cores that this process may use at once: of the machine, or of its container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, quota_cores(_CPU_QUOTA)))


def quota_cores(file: Path) -> int:
    """Cores that a control group allows, rounded up; without end where it sets no quota, or is not there."""
    try:
        allowed_us, period_us = file.read_text().split()
        return math.ceil(int(allowed_us) / int(period_us))
    except (OSError, ValueError):  # "max" is no number
        return sys.maxsize
