"""What the metrics tell of deliveries, on both databases."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.base import database_time
from app.core.db.webhooks import WebhookDelivery, backlogs, claim_delivery
from app.core.outages import Outages
from app.metrics import webhook_metrics
from app.webhooks.sender import WebhookSender
from tests.app.conftest import make_settings
from tests.app.webhooks.receiver import Receiver, answer
from tests.app.webhooks.test_sender import add_webhook, make_due, tell

OUTCOMES = ("delivered", "retried", "failed", "superseded")


@pytest.fixture
def sender(database: Database, tmp_path) -> Iterator[WebhookSender]:
    sender = WebhookSender(make_settings(tmp_path, webhook_private_addresses=True), database, Outages())
    yield sender
    sender.close()


def counted() -> dict[str, float]:
    name = "squeeze_webhook_deliveries_total"
    return {outcome: REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0 for outcome in OUTCOMES}


def test_attempts_by_outcome(database: Database, sender: WebhookSender, receiver: Receiver):
    webhook = add_webhook(database, receiver.url)
    before = counted()
    tell(database)
    for status in (500, 204):
        make_due(database)
        receiver.answer = answer(status)
        sender.send_next(webhook.id)
    tell(database)
    receiver.answer = answer(410)
    sender.send_next(webhook.id)
    assert {outcome: count - before[outcome] for outcome, count in counted().items()} == {
        "delivered": 1,
        "retried": 1,
        "failed": 1,
        "superseded": 0,
    }


def test_the_backlog(database: Database):
    webhook = add_webhook(database, "https://receiver.example/")
    disabled = add_webhook(database, "https://other.example/")
    with database.reading() as session:
        assert backlogs(session) == {}
    tell(database)
    tell(database)
    with database.transaction() as session:
        session.execute(update(type(disabled)).filter_by(id=disabled.id).values(is_enabled=False))
        hour_ago, minute_ago = (database_time(session) - timedelta(seconds=s) for s in (3600, 60))
        session.execute(update(WebhookDelivery).values(created_at=hour_ago, due_at=minute_ago))
    with database.reading() as session:
        backlog = backlogs(session)[DEFAULT_PROJECT]
        samples = {sample.name: sample for metric in webhook_metrics(session) for sample in metric.samples}
    assert backlog.deliveries == 2
    assert backlog.oldest_s >= 3600
    assert 60 <= backlog.overdue_s < 3600
    assert set(samples) == {
        "squeeze_webhook_pending_deliveries",
        "squeeze_webhook_pending_age_seconds",
        "squeeze_webhook_overdue_seconds",
    }
    assert samples["squeeze_webhook_pending_deliveries"].value == 2
    assert samples["squeeze_webhook_overdue_seconds"].labels == {"project": DEFAULT_PROJECT}

    with database.transaction() as session:
        for _ in range(2):
            claim_delivery(session, webhook.id, lease=timedelta(minutes=1))
    with database.reading() as session:
        assert backlogs(session)[DEFAULT_PROJECT].overdue_s == 0
