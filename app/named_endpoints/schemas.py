"""What the endpoints of named endpoints take and give."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, Field

from app.core.db.endpoints import NAME_PATTERN, Endpoint
from app.domain.documents import Precision
from app.domain.documents.endpoint_target import Canary, EndpointTarget, Fallback, Shadow
from app.inference.shadow import ShadowAgreement

EndpointName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="Lower-case letters, digits, dots and hyphens.")
]


class ShadowAgreementRead(BaseModel):
    """How far an endpoint's model and its shadow say the same."""

    model: str
    shadow: str
    texts: int = Field(description="That were compared since this process of the API began.")
    agreement: float = Field(
        description="Share of them with the same label, entities, answer or text; of vectors the mean "
        "cosine, of numbers 1 less their mean distance, where that is below 1."
    )

    @classmethod
    def of(cls, seen: ShadowAgreement) -> "ShadowAgreementRead":
        return cls(
            model=seen.model, shadow=seen.shadow, texts=seen.texts, agreement=seen.agreement / seen.texts
        )


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
    shadow: Shadow | None
    shadow_agreement: ShadowAgreementRead | None = Field(
        default=None, description="As this process of the API has seen it; null in lists."
    )
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
