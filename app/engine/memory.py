"""Memory that the C library keeps for later."""

import ctypes


def give_back_memory() -> None:
    """Return memory that was freed to the system, where the C library does not do so by itself (glibc).

    What lies between blocks that are still in use stays with the process otherwise: two thirds of what eight
    sessions of ONNX Runtime had taken.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
