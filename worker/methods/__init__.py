"""The methods by name: each is the folder of its name, and its ``METHOD`` does what its spec asks."""

from importlib import import_module
from typing import TypeVar

from app.domain.methods import Spec
from worker.contracts import CompressionMethod

S = TypeVar("S", bound=Spec)


def load(spec: S) -> CompressionMethod[S]:
    """The method of a spec, imported when it is first needed."""
    method: CompressionMethod[S] = import_module(f"worker.methods.{spec.name}").METHOD
    return method
