"""The tensors of a network's modules, by name. A matrix is stored as (outputs, inputs)."""

import math
from typing import TypeAlias

Shapes: TypeAlias = dict[str, tuple[int, ...]]


def linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    return shapes | ({f"{name}.bias": (outputs,)} if bias else {})


def product(name: str, outputs: int, inputs: int, rank: int, *, bias: bool = True) -> Shapes:
    """A linear module as a product of two: ``0`` reads, ``1`` writes and has the bias."""
    return linear(f"{name}.0", rank, inputs, bias=False) | linear(f"{name}.1", outputs, rank, bias=bias)


def norm(name: str, width: int, *, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (width,)}
    return shapes | ({f"{name}.bias": (width,)} if bias else {})


def table(name: str, rows: int, width: int) -> Shapes:
    return {f"{name}.weight": (rows, width)}


def bidirectional_lstm(name: str, hidden: int, inputs: int) -> Shapes:
    """One layer of it; a direction's four gates lie in one matrix."""
    shapes: Shapes = {}
    for direction in ("", "_reverse"):
        for side, columns in {"ih": inputs, "hh": hidden}.items():
            shapes[f"{name}.weight_{side}_l0{direction}"] = (4 * hidden, columns)
            shapes[f"{name}.bias_{side}_l0{direction}"] = (4 * hidden,)
    return shapes


def parameters(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())
