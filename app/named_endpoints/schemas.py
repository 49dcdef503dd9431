"""What the endpoints of named endpoints take and give."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, Field

from app.core.db.endpoints import NAME_PATTERN, Endpoint
from app.domain.documents import Precision
from app.domain.documents.endpoint_target import Canary, EndpointTarget, Fallback

EndpointName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="Lower-case letters, digits, dots and hyphens.")
]


class EndpointRead(BaseModel):
    """A name and what it stands for."""

    id: str
    object: Literal["endpoint"] = "endpoint"
    created_at: datetime
    updated_at: datetime = Field(description="When it was last pointed at something else.")
    name: str = Field(description="Stands in place of a model's id wherever predictions are asked for.")
    model: str
    precision: Precision | None
    canary: Canary | None
    fallback: Fallback | None
    earlier: list[EndpointTarget] = Field(description="To which it can be rolled back, the last one last.")

    @classmethod
    def of(cls, endpoint: Endpoint) -> "EndpointRead":
        return cls(
            id=endpoint.id,
            created_at=endpoint.created_at,
            updated_at=endpoint.updated_at,
            name=endpoint.name,
            **dict(endpoint.target),
            earlier=endpoint.earlier,
        )
