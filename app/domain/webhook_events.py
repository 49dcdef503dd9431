"""What webhooks tell of."""

from typing import Final, Literal, get_args

WebhookEvent = Literal[
    "job.running",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "model.created",
    "model.ready",
    "model.failed",
    "model.deleted",
]

WEBHOOK_EVENTS: Final[tuple[WebhookEvent, ...]] = get_args(WebhookEvent)
