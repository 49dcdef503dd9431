"""Parts of a network that know their names, and what their rows and columns stand for."""

from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor, nn

from worker.numerics.least_squares import fit_norm


def _write(module: nn.Linear | nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> None:
    module.weight.copy_(weight)
    own: Tensor | None = module.bias
    if own is not None and bias is not None:
        own.copy_(bias)


class Axis(Enum):
    """What rows or columns of a matrix stand for. Within a layer equal ones are the same indices."""

    RESIDUAL = "residual"
    """One set for a whole stack: whatever is added up, normed and read from layer to layer."""
    MEMORY = "memory"
    """The encoder's residual stream, where a decoder reads it."""
    HEADS = "heads"
    """The dimensions of all heads, one head after the other."""
    CROSS_HEADS = "cross_heads"
    """Likewise of a decoder's attention to the encoder."""
    NEURONS = "neurons"
    EMBEDDING = "embedding"
    """The width of tables that a projection follows."""
    FEATURES = "features"
    """Between the two matrices of a head of whole texts."""
    OUTPUTS = "outputs"
    """What a network answers."""


@dataclass(frozen=True)
class Part:
    """A module of a network."""

    name: str
    """The module's, in its network."""
    module: nn.Module = field(repr=False)
    run: int = 0
    """How often a forward pass has used the module before it is this part: layers may share it."""
    sees_targets: bool = False
    """Whether it works on what a decoder has written so far, not on what the encoder reads."""

    @property
    def weight_name(self) -> str:
        return f"{self.name}.weight"

    @property
    def bias_name(self) -> str:
        return f"{self.name}.bias"


@dataclass(frozen=True)
class Norm(Part):
    """A layer norm."""

    @property
    def layer(self) -> nn.LayerNorm:
        if not isinstance(self.module, nn.LayerNorm):
            raise TypeError(f"{self.name} is no layer norm")
        return self.module

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    @property
    def bias(self) -> Tensor | None:
        return self.layer.bias

    @property
    def vector_names(self) -> tuple[str, ...]:
        """The parameters of its gain and its shift, if it has one."""
        return (self.weight_name,) if self.bias is None else (self.weight_name, self.bias_name)

    @property
    def eps(self) -> float:
        return self.layer.eps

    @torch.no_grad()
    def write(self, gain: Tensor, shift: Tensor | None) -> None:
        """Set its numbers; without a bias it has no place for a shift."""
        _write(self.layer, gain, shift)

    @torch.no_grad()
    def fit(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Set its numbers so that of (K, P) inputs it makes the nearest to outputs; returns what it makes."""
        self.write(*fit_norm(inputs, outputs, eps=self.eps, shifts=self.bias is not None))
        normed: Tensor = self.layer(inputs)
        return normed


@dataclass(frozen=True)
class Matrix(Part):
    """A linear layer, or two in its place whose product it is."""

    rows: Axis = Axis.RESIDUAL
    columns: Axis = Axis.RESIDUAL

    @property
    def linear(self) -> nn.Linear:
        """The layer, where it is one.

        Raises:
            TypeError: it is factorised.
        """
        if not isinstance(self.module, nn.Linear):
            raise TypeError(f"{self.name} is no single linear layer but a {type(self.module).__name__}")
        return self.module

    @property
    def weight(self) -> Tensor:
        return self.linear.weight

    @property
    def bias(self) -> Tensor | None:
        return self.linear.bias

    @torch.no_grad()
    def write(self, weight: Tensor, bias: Tensor | None) -> None:
        """Set its numbers; those of a bias that it has not are left out."""
        _write(self.linear, weight, bias)

    @property
    def factors(self) -> tuple[nn.Linear, nn.Linear]:
        """Of a factorised one: what reads the columns, and what writes the rows.

        Raises:
            TypeError: it is one layer.
        """
        match self.module:
            case nn.Sequential() as product if len(product) == 2:
                inner, outer = product
                assert isinstance(inner, nn.Linear)
                assert isinstance(outer, nn.Linear)
                return inner, outer
        raise TypeError(f"{self.name} is not factorised")


@dataclass(frozen=True)
class Table(Part):
    """An embedding, or a narrower one and the matrix that widens what is looked up in it."""

    @property
    def embedding(self) -> nn.Embedding:
        """The table, where it is whole.

        Raises:
            TypeError: it is factorised.
        """
        if not isinstance(self.module, nn.Embedding):
            raise TypeError(f"{self.name} is no whole table but a {type(self.module).__name__}")
        return self.module

    @property
    def weight(self) -> Tensor:
        return self.embedding.weight

    @property
    def factors(self) -> tuple["Table", Matrix]:
        """Of a factorised one: the narrow table and what widens it.

        Raises:
            TypeError: it is whole.
        """
        match self.module:
            case nn.Sequential() as product if len(product) == 2:
                narrow, widen = product
                return Table(f"{self.name}.0", narrow), Matrix(f"{self.name}.1", widen)
        raise TypeError(f"{self.name} is not factorised")
