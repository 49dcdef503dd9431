"""Where bf16 autocast gains: on hardware that multiplies bf16 natively, and nowhere else."""

from functools import cache
from pathlib import Path

import torch


def autocast(device: torch.device) -> torch.autocast:
    """A context in which forward passes run in bf16 where the device has units for it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_has_bf16(device.type))


@cache
def _has_bf16(device_type: str) -> bool:
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    # torch says whether bf16 works on a CPU, not whether it is fast: emulated, it is slower than fp32.
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
