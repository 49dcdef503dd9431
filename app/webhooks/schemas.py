"""What the endpoints of webhooks take and give."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, WithJsonSchema

from app.core.db.webhooks import DeliveryStatus, DisabledReason, Webhook, WebhookDelivery
from app.domain.exact_types import ExactModel
from app.domain.webhook_events import WEBHOOK_EVENTS, WebhookEvent

MAX_OVERLAP_S = 30 * 24 * 3600

EventTypes = Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WEBHOOK_EVENTS))]
Url = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    WithJsonSchema({"type": "string", "pattern": "^https?://", "maxLength": 2000}),
]
Description = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class WebhookCreate(ExactModel):
    """A receiver to tell of events."""

    url: Url = Field(description="To which events are posted: https, with a public address.")
    event_types: EventTypes
    description: Description = ""
    enabled: bool = True


class WebhookUpdate(ExactModel):
    """What changes of a webhook: null, or what is left out, stays as it is."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    enabled: bool | None = Field(
        default=None,
        description="Deliveries that wait while a webhook is disabled are sent once it is enabled.",
    )


class SecretRotate(ExactModel):
    """How a webhook gets its new secret."""

    overlap_s: int = Field(
        default=24 * 3600,
        ge=0,
        le=MAX_OVERLAP_S,
        description="Seconds for which deliveries are signed with the previous secret, too.",
    )


class WebhookRead(BaseModel):
    """A webhook, without its secret."""

    id: str
    object: Literal["webhook"] = "webhook"
    created_at: datetime
    url: str
    event_types: list[str]
    description: str
    enabled: bool
    disabled_reason: DisabledReason | None = Field(
        description="Why the service disabled it: `failing` for days, or `gone` (the receiver answered 410)."
    )
    failing_since: datetime | None = Field(description="First failure since the last success.")
    previous_secret_expires_at: datetime | None = Field(
        description="Until when deliveries are signed with the secret before the last rotation, too."
    )

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookRead":
        return cls.model_validate(_members(webhook))


class WebhookWithSecret(WebhookRead):
    """A webhook with its secret, which is shown when it is created or rotated."""

    secret: str = Field(description="`whsec_` and a key in base64, for libraries of Standard Webhooks.")

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookWithSecret":
        return cls.model_validate(_members(webhook) | {"secret": webhook.secret})


class AttemptRead(BaseModel):
    """How one attempt at a delivery ended."""

    attempt: int
    ended_at: datetime
    duration_s: float
    status_code: int | None = Field(description="Of the receiver's answer; null where there was none.")
    error: str | None = Field(description="Why there was no answer.")
    answer: str = Field(description="Beginning of the answer's body.")


class DeliveryRead(BaseModel):
    """One event for one webhook."""

    id: str = Field(description="Sent as `webhook-id`, the same each time.")
    object: Literal["webhook.delivery"] = "webhook.delivery"
    created_at: datetime
    webhook: str
    event_type: str
    status: DeliveryStatus
    next_attempt_at: datetime | None
    attempts: list[AttemptRead] = Field(description="The last ones, oldest first.")
    payload: dict[str, Any] = Field(description="The body that is sent.")

    @classmethod
    def of(cls, delivery: WebhookDelivery) -> "DeliveryRead":
        return cls.model_validate(
            {
                "id": delivery.id,
                "created_at": delivery.created_at,
                "webhook": delivery.webhook_id,
                "event_type": delivery.event_type,
                "status": delivery.status,
                "next_attempt_at": delivery.due_at,
                "attempts": delivery.attempts,
                "payload": json.loads(delivery.payload),
            }
        )


def _members(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "created_at": webhook.created_at,
        "url": webhook.url,
        "event_types": webhook.event_types,
        "description": webhook.description,
        "enabled": webhook.is_enabled,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": webhook.failing_since,
        "previous_secret_expires_at": webhook.previous_secret_expires_at,
    }
