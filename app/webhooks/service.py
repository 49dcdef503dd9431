"""Creating and changing webhooks, and sending deliveries again."""

from collections.abc import Collection
from datetime import timedelta
from ipaddress import ip_address
from typing import Final

import httpx

from app.core.db import ProjectWriteSession
from app.core.db.base import database_time
from app.core.db.webhooks import Webhook, WebhookDelivery, count_webhooks, lock_delivery, lock_webhook
from app.core.network import is_public
from app.domain.errors import Conflict, InvalidRequest
from app.domain.webhook_events import WEBHOOK_EVENTS, WebhookEvent
from app.webhooks.signing import new_secret

MOST_WEBHOOKS: Final = 50
"""Of a project: each event looks at all of them."""


def create_webhook(
    session: ProjectWriteSession,
    *,
    url: str,
    event_types: Collection[WebhookEvent],
    description: str,
    enabled: bool,
    allow_private: bool,
) -> Webhook:
    """Add a webhook with a fresh secret.

    Raises:
        InvalidRequest: nothing can be sent to the URL.
        Conflict: the project has as many as it may have.
    """
    check_url(url, allow_private=allow_private)
    if count_webhooks(session) >= MOST_WEBHOOKS:
        raise Conflict(
            "too_many_webhooks",
            f"A project has up to {MOST_WEBHOOKS} webhooks. Delete one that is not needed.",
            maximum=MOST_WEBHOOKS,
        )
    webhook = Webhook(
        url=url,
        event_types=_in_order(event_types),
        description=description,
        is_enabled=enabled,
        secret=new_secret(),
    )
    session.add(webhook)
    session.flush()
    return webhook


def update_webhook(
    session: ProjectWriteSession,
    webhook_id: str,
    *,
    url: str | None,
    event_types: Collection[WebhookEvent] | None,
    description: str | None,
    enabled: bool | None,
    allow_private: bool,
) -> Webhook:
    """Change a webhook; None leaves a member as it is.

    Raises:
        NotFound: there is no such webhook.
        InvalidRequest: nothing can be sent to the URL.
    """
    webhook = lock_webhook(session, webhook_id)
    if url is not None:
        check_url(url, allow_private=allow_private)
        webhook.url = url
    if event_types is not None:
        webhook.event_types = _in_order(event_types)
    if description is not None:
        webhook.description = description
    if enabled is not None:
        webhook.is_enabled, webhook.disabled_reason = enabled, None
        webhook.failing_since = None if enabled else webhook.failing_since
    return webhook


def rotate_secret(session: ProjectWriteSession, webhook_id: str, *, overlap: timedelta) -> Webhook:
    """Give a webhook a new secret; deliveries are signed with the previous one, too, for the overlap.

    Raises:
        NotFound: there is no such webhook.
    """
    webhook = lock_webhook(session, webhook_id)
    webhook.previous_secret = webhook.secret
    webhook.previous_secret_expires_at = database_time(session) + overlap
    webhook.secret = new_secret()
    return webhook


def replay_delivery(session: ProjectWriteSession, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Send a delivery again, as soon as possible and with all its retries.

    Raises:
        NotFound: there is no such webhook, or it has no such delivery.
        Conflict: the webhook is disabled.
    """
    webhook = lock_webhook(session, webhook_id)
    delivery = lock_delivery(session, webhook_id, delivery_id)
    if not webhook.is_enabled:
        raise Conflict(
            "webhook_disabled", f"The webhook {webhook.id} is disabled. Enable it first.", id=webhook.id
        )
    delivery.status, delivery.failures = "pending", 0
    delivery.attempt += 1  # one that is under way must not write that this is over
    delivery.due_at = database_time(session)
    return delivery


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse a URL to which nothing will be sent; what its name resolves to is checked when it is sent to.

    Raises:
        InvalidRequest: that is so.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _invalid_url(f"It cannot be read: {error}.") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parsed.scheme not in schemes or not parsed.host:
        raise _invalid_url(
            f"It must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and a host."
        )
    if parsed.userinfo or parsed.fragment:
        raise _invalid_url("It must have no user name, password or fragment.")
    if not allow_private and not _may_be_public(parsed.host):
        raise _invalid_url("Its address is not public.")


def _may_be_public(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host != "localhost"
    return is_public(host)


def _invalid_url(reason: str) -> InvalidRequest:
    return InvalidRequest("invalid_webhook_url", f"The URL cannot be a webhook's. {reason}", pointer="#/url")


def _in_order(event_types: Collection[WebhookEvent]) -> list[str]:
    return [event_type for event_type in WEBHOOK_EVENTS if event_type in event_types]
