"""What a worker computes on, found without torch, whose import takes seconds and whose CUDA a memory."""

import os
from contextlib import suppress
from pathlib import Path

_PROCESSORS = Path("/proc/cpuinfo")
NVIDIA = Path("/proc/driver/nvidia/gpus")
"""Where the driver describes each."""


def find_devices(gpus: Path = NVIDIA) -> list[str]:
    """Names of the GPUs that this process may use; the processor where there is none."""
    return _visible(_models(gpus)) or [f"CPU, {len(os.sched_getaffinity(0))} cores{_processor()}"]


def _processor() -> str:
    """Its model, where the system says it."""
    with suppress(OSError):
        for line in _PROCESSORS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return f", {value.strip()}"
    return ""


def _models(gpus: Path) -> list[str]:
    models = []
    for information in sorted(gpus.glob("*/information")):
        for line in information.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Model":
                models.append(value.strip())
    return models


def _visible(gpus: list[str]) -> list[str]:
    """Those that ``CUDA_VISIBLE_DEVICES`` leaves; the driver's order may be another than CUDA's."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpus if allowed is None else gpus[: len([entry for entry in allowed.split(",") if entry.strip()])]
