"""What a step computes in: bf16 where hardware multiplies it natively."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def autocast(device: torch.device) -> torch.autocast:
    """A context in which forward passes run in bf16 where the device has units for it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bf16(device.type))


def product(left: Tensor, right: Tensor) -> Tensor:
    """The product in fp32, whose gradients are computed in bf16 where that is faster.

    For weights that are made of other weights: what is made must be exact, because it is deployed, while the
    gradient that comes in has been through bf16 already.
    """
    result: Tensor = _Product.apply(left, right)  # type: ignore[no-untyped-call]
    return result


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return left @ right

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        dtype = product_dtype(left)
        gradient = gradients[0].to(dtype)
        needs_left, needs_right = ctx.needs_input_grad
        return (
            (gradient @ right.to(dtype).mT).to(left.dtype) if needs_left else None,
            (left.to(dtype).mT @ gradient).to(right.dtype) if needs_right else None,
        )


def product_dtype(values: Tensor) -> torch.dtype:
    """What values are best multiplied in where eight bits will do."""
    return torch.bfloat16 if has_bf16(values.device.type) else values.dtype


@cache
def has_bf16(device_type: str) -> bool:
    """Whether the device has units for bf16, rather than a way to emulate it."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    # torch says whether bf16 works on a CPU, not whether it is fast: emulated, it is slower than fp32.
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
