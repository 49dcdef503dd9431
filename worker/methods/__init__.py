"""The methods by name. Each folder is one method; this table is all that knows them together."""

from importlib import import_module

from worker.contracts import CompressionMethod

PLUGINS = {
    "fine_tuning": "worker.methods.fine_tuning",
    "scratch": "worker.methods.scratch",
    "weight_copy": "worker.methods.weight_copy",
    "distillation": "worker.methods.distillation",
    "weight_squeezing": "worker.methods.weight_squeezing",
}


def load(name: str) -> CompressionMethod:
    """Import a method when it is first needed."""
    method: CompressionMethod = import_module(PLUGINS[name]).METHOD()
    return method
