"""What the architectures of networks of all kinds have in common."""

from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from app.domain.architectures.family import Family
from app.domain.architectures.layers import Sizes
from app.domain.architectures.registry import FAMILIES
from app.domain.architectures.shape import NetworkShape
from app.domain.tasks.record import NetworkKind

_Shape = TypeVar("_Shape", bound=NetworkShape)


class NetworkArchitecture(BaseModel, Generic[_Shape]):
    """What the architectures of all kinds are, and the answers of those to which a question is foreign."""

    model_config = ConfigDict(frozen=True)

    kind: ClassVar[NetworkKind]

    family: str
    shape: _Shape
    vocabulary: int
    positions: int

    @property
    def record(self) -> Family:
        return FAMILIES[self.family]

    @property
    def sizes(self) -> Sizes:
        """All dimensions, by the names that the families' records use."""
        return {"vocabulary": self.vocabulary, "positions": self.positions, **self.shape.sizes}

    @property
    def width(self) -> int:
        """Of the states that a head reads; 0 where there are none."""
        return self.sizes.get("hidden", 0)

    @property
    def answered_dimensions(self) -> int | None:
        """Of its answers where these follow from its shape; None where its head says."""
        return None

    @property
    def has_factorised_words(self) -> bool:
        """Whether its word table is narrower than its family has it, and a matrix follows it."""
        return False

    @property
    def unfolded(self) -> Self:
        """With its family's own word table and each layer run once, as a teacher has them."""
        return self

    @property
    def sines(self) -> int:
        """Numbers of positions that are no parameters, but lie beside the weights."""
        return 0

    def config_values(self) -> dict[str, Any]:
        """The dimensions as a config of the family says them."""
        return self.record.config_values(self.sizes)

    def at(self, shape: _Shape) -> Self:
        return self.model_copy(update={"shape": shape})
