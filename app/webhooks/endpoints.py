"""``/v1/webhooks``."""

from datetime import timedelta

from fastapi import APIRouter

from app.auth.routes import ProtectedRoute
from app.core.db import webhooks
from app.dependencies import DatabaseDep, Page, PageDep, SettingsDep, page_of
from app.errors import problems
from app.idempotency.creation import CreationDep
from app.rows import UnreadableRow, read_row
from app.webhooks import service
from app.webhooks.schemas import (
    DeliveryRead,
    SecretRotate,
    WebhookCreate,
    WebhookRead,
    WebhookUpdate,
    WebhookWithSecret,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=ProtectedRoute)


@router.post("", status_code=201, responses=problems(400, 408, 409, 413, 422, 500, 503))
def create_webhook(
    body: WebhookCreate, database: DatabaseDep, settings: SettingsDep, creation: CreationDep
) -> WebhookWithSecret:
    """Create a webhook: events of the project are posted to its URL, as in Standard Webhooks.

    Each request has the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, and a body with
    `type`, `timestamp` and `data`. An answer with a status of 2xx in time means that it was
    received; anything else is tried again for about a day. An event may come more than once, with the same
    `webhook-id`, and events may come in another order.
    """
    with creation.transaction(database) as session:
        webhook = service.create_webhook(
            session, **body.model_dump(), allow_private=settings.webhook_private_addresses
        )
        return creation.answer(session, WebhookWithSecret.of(webhook), location=f"/v1/webhooks/{webhook.id}")


@router.get("", responses=problems(422, 500, 503))
def list_webhooks(page: PageDep, database: DatabaseDep) -> Page[WebhookRead | UnreadableRow]:
    """List webhooks, newest first."""
    with database.reading() as session:
        rows = webhooks.list_webhooks(session, limit=page.limit + 1, after=page.after)
    return page_of(WebhookRead.of, rows, limit=page.limit)


@router.get("/{webhook_id}", responses=problems(404, 500, 503))
def get_webhook(webhook_id: str, database: DatabaseDep) -> WebhookRead:
    """Get a webhook: whether it is enabled, and since when it fails."""
    with database.reading() as session:
        return read_row(WebhookRead.of, webhooks.get_webhook(session, webhook_id))


@router.patch("/{webhook_id}", responses=problems(400, 404, 408, 413, 422, 500, 503))
def update_webhook(
    webhook_id: str, body: WebhookUpdate, database: DatabaseDep, settings: SettingsDep
) -> WebhookRead:
    """Change a webhook, or enable it again."""
    with database.transaction() as session:
        webhook = service.update_webhook(
            session, webhook_id, **body.model_dump(), allow_private=settings.webhook_private_addresses
        )
    return read_row(WebhookRead.of, webhook)


@router.delete("/{webhook_id}", status_code=204, responses=problems(404, 500, 503))
def delete_webhook(webhook_id: str, database: DatabaseDep) -> None:
    """Delete a webhook and its deliveries."""
    with database.transaction() as session:
        webhooks.delete_webhook(session, webhook_id)


@router.post("/{webhook_id}/rotate", responses=problems(400, 404, 408, 413, 422, 500, 503))
def rotate_webhook_secret(
    webhook_id: str, database: DatabaseDep, body: SecretRotate | None = None
) -> WebhookWithSecret:
    """Give a webhook a new secret. Deliveries are signed with both for a while, a day by default."""
    overlap = timedelta(seconds=(body or SecretRotate()).overlap_s)
    with database.transaction() as session:
        webhook = service.rotate_secret(session, webhook_id, overlap=overlap)
    return WebhookWithSecret.of(webhook)


@router.get("/{webhook_id}/deliveries", responses=problems(404, 422, 500, 503))
def list_webhook_deliveries(
    webhook_id: str, page: PageDep, database: DatabaseDep
) -> Page[DeliveryRead | UnreadableRow]:
    """List the deliveries of a webhook, newest first, with what became of each."""
    with database.reading() as session:
        webhooks.get_webhook(session, webhook_id)
        rows = webhooks.list_deliveries(session, webhook_id, limit=page.limit + 1, after=page.after)
    return page_of(DeliveryRead.of, rows, limit=page.limit)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", responses=problems(404, 409, 500, 503))
def replay_webhook_delivery(webhook_id: str, delivery_id: str, database: DatabaseDep) -> DeliveryRead:
    """Send a delivery again, with the same `webhook-id`."""
    with database.transaction() as session:
        delivery = service.replay_delivery(session, webhook_id, delivery_id)
    return read_row(DeliveryRead.of, delivery)
