"""How ONNX files are opened: one set of options, whether a file is served, checked or measured."""

from pathlib import Path
from typing import Final

import onnxruntime as ort

_SLOWER_THAN_ITS_PARTS: Final = ["SkipLayerNormFusion"]
"""What ONNX Runtime fuses to its own loss on CPUs: a sum and its norm as one operator took four times as long
as the two, and a fifth of a run of an int8 student of three layers."""


def session_options(*, threads: int) -> ort.SessionOptions:
    """The options of every session; ``threads`` work on one run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the cores from whatever else runs here: training, the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Both keep memory for every shape of input that was ever seen, and texts come in all shapes.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return options


def open_session(model: Path, *, threads: int) -> ort.InferenceSession:
    """Load one ONNX file on the CPU; the session may be used from several threads at once."""
    return ort.InferenceSession(
        model,
        session_options(threads=threads),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_SLOWER_THAN_ITS_PARTS,
    )
