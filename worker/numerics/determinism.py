"""The same seed, the same weights: twice on one machine."""

import os
import random

import numpy as np
import torch


def make_deterministic(seed: int, device: torch.device) -> None:
    """Seed every generator, and on a GPU take the deterministic one where an operation has two kernels.

    CPU kernels need no such choice: with the same number of threads they sum in the same order.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that libraries draw from
    torch.manual_seed(seed)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS may pick by timing
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Writing to fresh tensors only finds bugs.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
