"""Whether the kernel killed a process because memory ran out: it does not say so to the process's parent."""

from pathlib import Path

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_KILL_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
_SUSPICIOUS_SHARE = 0.9


def count_memory_kills() -> int:
    """How many processes were killed so far, by the counters that this machine offers."""
    return sum(_read_counter(path, "oom_kill") for path in _KILL_COUNTERS)


def died_of_memory(*, kills_before: int, peak_bytes: int) -> bool:
    """Decide whether a process that received SIGKILL ran out of memory."""
    return count_memory_kills() > kills_before or peak_bytes > _SUSPICIOUS_SHARE * memory_limit()


def memory_limit() -> int:
    """Bytes that this container, or else this machine, has."""
    container = [path.read_text().strip() for path in _LIMITS if path.exists()]
    machine = _read_counter(Path("/proc/meminfo"), "MemTotal:") * 1024
    return min([machine, *(int(text) for text in container if text.isdigit())])


def _read_counter(path: Path, name: str) -> int:
    if not path.exists():
        return 0
    for line in path.read_text().splitlines():
        fields = line.split()
        if fields[0] == name:
            return int(fields[1])
    return 0
