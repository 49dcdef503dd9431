"""What a job's measurements are made with: the same model is faster elsewhere."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from app.domain.documents.comparison import Environment
from app.engine.threads import usable_cores

_LIBRARIES: Final = ("torch", "transformers", "onnxruntime", "tokenizers", "numpy", "scipy")
_CPU_INFO: Final = Path("/proc/cpuinfo")


def environment(device: torch.device) -> Environment:
    """Of this process, which trains on a device."""
    is_gpu = device.type == "cuda"
    return Environment(
        processor=_processor(),
        cores=usable_cores(),
        device=torch.cuda.get_device_name(device) if is_gpu else "CPU",
        system=f"{platform.system()} {platform.machine()}",
        versions={"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
    )


def _processor() -> str:
    """Its name, where the system tells."""
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
