"""Webhooks and deliveries as the database has them."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select, update

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.base import database_time
from app.core.db.webhooks import (
    Webhook,
    WebhookDelivery,
    enqueue_event,
)
from app.domain.webhook_events import WEBHOOK_EVENTS

NewWebhook = Callable[..., Webhook]


def add_webhook(database: Database, url: str, *event_types: str, **changes: Any) -> Webhook:
    values = {"url": url, "description": "", "is_enabled": True, "secret": "whsec_c2VjcmV0"}
    webhook = Webhook(event_types=list(event_types or WEBHOOK_EVENTS), **values | changes)
    with database.of(DEFAULT_PROJECT).transaction() as session:
        session.add(webhook)
    return webhook


def tell(database: Database, event_type: str = "job.failed") -> None:
    with database.transaction() as session:
        enqueue_event(session, DEFAULT_PROJECT, event_type, {"id": "job_1", "text": "ü"})


def deliveries(database: Database) -> list[WebhookDelivery]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def read(database: Database, webhook: Webhook) -> Webhook:
    with database.reading() as session:
        return session.get_one(Webhook, webhook.id)


def make_due(database: Database) -> None:
    """Let the time of the next attempt come."""
    with database.transaction() as session:
        session.execute(update(WebhookDelivery).values(due_at=database_time(session)))
