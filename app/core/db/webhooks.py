"""Webhooks and their deliveries: the tables and their queries.

A delivery is written in the transaction of the event that it tells of, and sent later: what is not committed
is not told, and what is committed is told, whichever process dies in between.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, delete, func, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, JsonColumn, database_time, row_lock
from app.core.db.ownership import ProjectRow
from app.core.db.session import ProjectReadSession, ProjectWriteSession, ReadSession, WriteSession
from app.core.ids import is_id, new_id
from app.domain.errors import NotFound
from app.domain.webhook_events import WebhookEvent

DisabledReason = Literal["failing", "gone"]
DeliveryStatus = Literal["pending", "delivered", "failed"]


class Webhook(ProjectRow, Base):
    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_project_id", "project_id", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("whk"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]]
    description: Mapped[str] = mapped_column(String(500))
    is_enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(String(16))
    """Why the service disabled it; None where a client did."""
    failing_since: Mapped[datetime | None]
    """When the first delivery failed of those since one succeeded."""
    secret: Mapped[str] = mapped_column(String(100))
    previous_secret: Mapped[str | None] = mapped_column(String(100))
    """Before the last rotation."""
    previous_secret_expires_at: Mapped[datetime | None]

    def secrets(self, now: datetime) -> list[str]:
        """Those with which a delivery is signed, the current one first."""
        expires_at = self.previous_secret_expires_at
        if self.previous_secret is None or expires_at is None or expires_at <= now:
            return [self.secret]
        return [self.secret, self.previous_secret]


class WebhookDelivery(ProjectRow, Base):
    """One event for one webhook. Its id stays the same however often it is sent: receivers tell by it."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_due_at", "due_at"),
        Index("ix_webhook_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("msg"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_type: Mapped[str] = mapped_column(String(32))
    payload: Mapped[str] = mapped_column(Text)
    """The body, as it is signed."""
    status: Mapped[str] = mapped_column(String(16), default="pending")
    due_at: Mapped[datetime | None] = mapped_column(default=DatabaseTime())
    """When it is sent, or sent again if the process that sends it is lost; None when that is over."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Number of the last one: only that one writes how it ended."""
    failures: Mapped[int] = mapped_column(default=0)
    """Since it was first sent, or sent again by request."""
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JsonColumn, default=list)
    """How each of the last ones ended."""


def enqueue_event(
    session: WriteSession, project_id: str, event_type: WebhookEvent, data: dict[str, Any]
) -> None:
    """Have a project's webhooks told of an event of the session's transaction."""
    # Webhooks that are being deleted are locked, and skipped; none of the others can be deleted before the
    # rows that refer to them are committed.
    query = select(Webhook).where(Webhook.project_id == project_id, Webhook.is_enabled)
    webhooks = session.scalars(query.with_for_update(read=True, key_share=True, skip_locked=True)).all()
    listening = [webhook for webhook in webhooks if event_type in webhook.event_types]
    if not listening:
        return
    timestamp = database_time(session).isoformat().replace("+00:00", "Z")
    payload = json.dumps({"type": event_type, "timestamp": timestamp, "data": data}, ensure_ascii=False)
    deliveries = [
        {"webhook_id": webhook.id, "project_id": project_id, "event_type": event_type, "payload": payload}
        for webhook in listening
    ]
    # Not as objects: those are what clients add, and go into the audit log.
    session.connection().execute(insert(WebhookDelivery), deliveries)


def get_webhook(session: ProjectReadSession, webhook_id: str) -> Webhook:
    """The webhook's row.

    Raises:
        NotFound: there is no such webhook.
    """
    return _found(session.get(Webhook, webhook_id) if is_id("whk", webhook_id) else None, webhook_id)


def lock_webhook(session: ProjectWriteSession, webhook_id: str) -> Webhook:
    """The webhook's row, held until the transaction ends; deliveries can be added to it meanwhile.

    Raises:
        NotFound: there is no such webhook.
    """
    lock = {"key_share": True}
    row = session.get(Webhook, webhook_id, with_for_update=lock) if is_id("whk", webhook_id) else None
    return _found(row, webhook_id)


def delete_webhook(session: ProjectWriteSession, webhook_id: str) -> None:
    """Remove a webhook and its deliveries.

    Raises:
        NotFound: there is no such webhook.
    """
    row = (
        session.get(Webhook, webhook_id, with_for_update=row_lock("update"))
        if is_id("whk", webhook_id)
        else None
    )
    session.delete(_found(row, webhook_id))


def list_webhooks(session: ProjectReadSession, *, limit: int, after: str | None = None) -> Sequence[Webhook]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Webhook).order_by(Webhook.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Webhook.id < after)
    return session.scalars(query).all()


def count_webhooks(session: ProjectReadSession) -> int:
    return session.scalar(select(func.count(Webhook.id))) or 0


def list_deliveries(
    session: ProjectReadSession, webhook_id: str, *, limit: int, after: str | None = None
) -> Sequence[WebhookDelivery]:
    """Those of a webhook, newest first; ``after`` is the last id of the page before."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if after is not None:
        query = query.where(WebhookDelivery.id < after)
    return session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)).all()


def lock_delivery(session: ProjectWriteSession, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """A delivery's row, held until the transaction ends.

    Raises:
        NotFound: the webhook has no such delivery.
    """
    row = None
    if is_id("msg", delivery_id):
        row = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None or row.webhook_id != webhook_id:
        raise NotFound("delivery", delivery_id)
    return row


def due_webhooks(session: ReadSession, *, but: Collection[str], limit: int) -> Sequence[str]:
    """Ids of webhooks with a delivery to be sent now, the one that waits longest first."""
    query = (
        select(WebhookDelivery.webhook_id)
        .join(Webhook)
        .where(*_is_due(session), WebhookDelivery.webhook_id.not_in(but))
        .group_by(WebhookDelivery.webhook_id)
        .order_by(func.min(WebhookDelivery.due_at))
        .limit(limit)
    )
    return session.scalars(query).all()


class Backlog(NamedTuple):
    """Deliveries of a project that are still to be sent, disabled webhooks left out."""

    deliveries: int
    oldest_s: float
    """How long ago the first of their events was."""
    overdue_s: float
    """For how long one could have been sent, or sent again; 0 where all wait for their time."""


def backlogs(session: ReadSession) -> Mapping[str, Backlog]:
    """By project, of those that have such deliveries."""
    query = (
        select(
            WebhookDelivery.project_id,
            func.count(),
            func.min(WebhookDelivery.created_at),
            func.min(WebhookDelivery.due_at),
        )
        .join(Webhook)
        .where(WebhookDelivery.due_at.is_not(None), Webhook.is_enabled)
        .group_by(WebhookDelivery.project_id)
    )
    now = database_time(session)
    return {
        project_id: Backlog(
            count, (now - oldest).total_seconds(), max(0.0, (now - (first_due or now)).total_seconds())
        )
        for project_id, count, oldest, first_due in session.execute(query)
    }


def claim_delivery(
    session: WriteSession, webhook_id: str, *, lease: timedelta
) -> tuple[WebhookDelivery, Webhook] | None:
    """Take the next delivery of a webhook that is to be sent now; nobody else does before the lease ends."""
    query = (
        select(WebhookDelivery, Webhook)
        .join(Webhook)
        .where(*_is_due(session), WebhookDelivery.webhook_id == webhook_id)
        .order_by(WebhookDelivery.due_at)
        .limit(1)
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    )
    claimed = session.execute(query).first()
    if claimed is None:
        return None
    delivery, webhook = claimed
    delivery.attempt += 1
    delivery.due_at = database_time(session) + lease
    return delivery, webhook


def lock_attempt(
    session: WriteSession, delivery_id: str, attempt: int
) -> tuple[WebhookDelivery, Webhook] | None:
    """The rows to write how an attempt ended; None where it is not the last one any more."""
    query = select(Webhook).join(WebhookDelivery).where(WebhookDelivery.id == delivery_id)
    webhook = session.scalar(query.with_for_update(of=Webhook, key_share=True))
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if webhook is None or delivery is None or delivery.attempt != attempt:
        return None
    return delivery, webhook


def forget_old_deliveries(session: WriteSession, *, older_than: timedelta) -> None:
    """Remove deliveries from the log, those too that could never be sent."""
    oldest = database_time(session) - older_than
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.created_at < oldest))


def _is_due(session: ReadSession) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return WebhookDelivery.due_at <= database_time(session), Webhook.is_enabled.is_(True)


def _found(row: Webhook | None, webhook_id: str) -> Webhook:
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row
