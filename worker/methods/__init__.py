"""The methods by name. Each folder is one method; this table is all that knows them together."""

from importlib import import_module

from worker.contracts import CompressionMethod

PLUGINS = {
    "fine_tuning": "worker.methods.fine_tuning",
    "scratch": "worker.methods.scratch",
    "weight_copy": "worker.methods.weight_copy",
    "weight_selection": "worker.methods.weight_selection",
    "distillation": "worker.methods.distillation",
    "low_rank": "worker.methods.low_rank",
    "pea_kd": "worker.methods.pea_kd",
    "weight_squeezing": "worker.methods.weight_squeezing",
    "weight_inherited": "worker.methods.weight_inherited",
    "weight_distillation": "worker.methods.weight_distillation",
    "bilstm": "worker.methods.bilstm",
}


def load(name: str) -> CompressionMethod:
    """Import a method when it is first needed."""
    method: CompressionMethod = import_module(PLUGINS[name]).METHOD()
    return method
