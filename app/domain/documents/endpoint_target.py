"""Which models an endpoint's name stands for."""

from typing import ClassVar, NamedTuple

from pydantic import Field

from app.domain.documents.training import Precision
from app.domain.documents.versions import StoredDocument
from app.domain.exact_types import ExactModel


class ServedExport(NamedTuple):
    """A model's id and one of its exports; None is the one that answers by default."""

    model: str
    precision: Precision | None
    fallback: "Fallback | None" = None
    """Who answers where this one is not sure."""
    shadow: "Shadow | None" = None
    """Who is asked as well, for a comparison."""


class Canary(ExactModel):
    """A second model that answers a share of an endpoint's requests."""

    model: str
    precision: Precision | None = None
    share: float = Field(gt=0, lt=1, description="Of the requests, drawn at random.")


class Fallback(ExactModel):
    """The teacher of an endpoint's model, which answers where its student is not sure."""

    model: str
    precision: Precision | None = None
    retain: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="Share of the teacher's metric on dev that both together keep: it decides how sure the "
        "student has to be.",
    )


class Shadow(ExactModel):
    """A model that a share of an endpoint's texts also goes to, after they are answered."""

    model: str
    precision: Precision | None = None
    share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Of the requests, drawn at random; less where the process is busy.",
    )


class EndpointTarget(ExactModel, StoredDocument):
    """What answers an endpoint's requests."""

    document_name: ClassVar = "endpoint target"

    model: str
    precision: Precision | None = Field(
        default=None, description="Of requests that name none; null: fp32, where the model has it."
    )
    canary: Canary | None = None
    fallback: Fallback | None = None
    shadow: Shadow | None = None

    @property
    def models(self) -> set[str]:
        """The ids of all that may be asked."""
        others = {other.model for other in (self.fallback, self.shadow) if other is not None}
        return {export.model for export in self.exports} | others

    @property
    def exports(self) -> list[ServedExport]:
        """What requests are sent to."""
        exports = [ServedExport(self.model, self.precision, self.fallback, self.shadow)]
        if self.canary is not None:
            exports.append(ServedExport(self.canary.model, self.canary.precision))
        return exports

    def chosen(self, draw: float) -> ServedExport:
        """What answers a request that drew this number, evenly out of 0 to 1."""
        return self.exports[-1 if self.canary is not None and draw < self.canary.share else 0]
