"""Deliveries are sent, signed, tried again and given up, on both databases and over HTTP."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import WebhookVerificationError

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.webhooks import (
    Webhook,
    WebhookDelivery,
    claim_delivery,
    delete_webhook,
    due_webhooks,
    enqueue_event,
    lock_attempt,
)
from app.webhooks.delivery import DISABLED_AFTER, MOST_ATTEMPTS, conclude, retry_delay
from app.webhooks.sender import WebhookSender
from app.webhooks.sending import Outcome
from app.webhooks.service import replay_delivery, rotate_secret
from tests.app.conftest import make_settings
from tests.app.webhooks.receiver import Receiver, answer, receiving
from tests.app.webhooks.rows import NewWebhook, add_webhook, deliveries, make_due, read, tell
from tests.conftest import empty_tables
from worker.runner.expired_rows import remove_expired_rows

OK, FAILED = Outcome(0.1, status_code=200), Outcome(0.1, status_code=500)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    """For locks on rows: SQLite has one writer at a time."""
    database = Database(postgres_url)
    empty_tables(database)
    yield database
    database.dispose()


# What is sent


def test_a_delivery(database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver):
    webhook = new_webhook("job.failed")
    tell(database)
    assert sender.send_next(webhook.id)
    received = receiver.next()
    assert received.verify(webhook.secret) == received.event
    assert (received.event["type"], received.event["data"]) == ("job.failed", {"id": "job_1", "text": "ü"})
    assert datetime.fromisoformat(received.event["timestamp"]).tzinfo is not None
    assert (received.path, received.headers["content-type"]) == ("/hook?a=b", "application/json")
    [delivery] = deliveries(database)
    assert received.headers["webhook-id"] == delivery.id
    assert (delivery.status, delivery.due_at, delivery.attempts[0]["status_code"]) == ("delivered", None, 204)
    assert not sender.send_next(webhook.id)


def test_a_forged_body_is_noticed(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    webhook = new_webhook()
    tell(database)
    sender.send_next(webhook.id)
    received = receiver.next()
    received.body += b" "
    with pytest.raises(WebhookVerificationError):
        received.verify(webhook.secret)


def test_both_secrets_sign_while_one_replaces_the_other(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    webhook = new_webhook()
    with database.of(DEFAULT_PROJECT).transaction() as session:
        new = rotate_secret(session, webhook.id, overlap=timedelta(hours=1)).secret
    tell(database)
    sender.send_next(webhook.id)
    received = receiver.next()
    assert received.verify(webhook.secret) == received.verify(new)

    with database.transaction() as session:
        session.execute(update(Webhook).values(previous_secret_expires_at=datetime.now(UTC)))
    tell(database)
    sender.send_next(webhook.id)
    received = receiver.next()
    received.verify(new)
    with pytest.raises(WebhookVerificationError):
        received.verify(webhook.secret)


# Failures


def test_a_failed_delivery_is_sent_again(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    webhook = new_webhook()
    tell(database)
    receiver.answer = answer(500, b"down \xff", retry_after="120")
    assert not sender.send_next(webhook.id)
    [delivery] = deliveries(database)
    assert (delivery.status, delivery.failures) == ("pending", 1)
    assert delivery.due_at - datetime.now(UTC) > timedelta(seconds=100), "as the receiver asks"
    assert delivery.attempts[0] | {"status_code": 500, "answer": "down \ufffd"} == delivery.attempts[0]
    assert read(database, webhook).failing_since is not None
    assert not sender.send_next(webhook.id), "not before its time"

    receiver.answer = answer(200)
    make_due(database)
    assert sender.send_next(webhook.id)
    first, second = receiver.next(), receiver.next()
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.verify(webhook.secret) == first.event
    assert [attempt["attempt"] for attempt in deliveries(database)[0].attempts] == [1, 2]
    assert read(database, webhook).failing_since is None


def test_retries_take_about_a_day():
    delays = [retry_delay(failures, FAILED) for failures in range(1, MOST_ATTEMPTS)]
    assert timedelta(hours=18) < sum(delays, timedelta()) < timedelta(hours=30)
    assert delays[0] < timedelta(seconds=10)
    assert len({retry_delay(3, FAILED) for _ in range(10)}) > 1
    assert retry_delay(1, Outcome(0, status_code=503, retry_after_s=1e8)) == timedelta(hours=8)


def fail_once(database: Database, outcome: Outcome = FAILED) -> WebhookDelivery:
    with database.transaction() as session:
        [delivery] = session.scalars(select(WebhookDelivery))
        delivery.attempt += 1
        session.flush()
        conclude(session, *lock_attempt(session, delivery.id, delivery.attempt), outcome)
        return delivery


def test_it_is_given_up_in_the_end_and_can_be_replayed(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    webhook = new_webhook()
    tell(database)
    statuses = [fail_once(database).status for _ in range(MOST_ATTEMPTS)]
    assert statuses == ["pending"] * (MOST_ATTEMPTS - 1) + ["failed"]
    assert not sender.send_next(webhook.id)
    with database.of(DEFAULT_PROJECT).transaction() as session:
        delivery = replay_delivery(session, webhook.id, deliveries(database)[0].id)
    assert sender.send_next(webhook.id)
    assert receiver.next().headers["webhook-id"] == delivery.id
    assert deliveries(database)[0].status == "delivered"


def test_a_replay_while_it_is_being_sent(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    webhook = new_webhook()
    tell(database)

    def replay_first(handler: Any) -> None:
        receiver.answer = answer(200)
        with database.of(DEFAULT_PROJECT).transaction() as session:
            replay_delivery(session, webhook.id, deliveries(database)[0].id)
        answer(200)(handler)

    receiver.answer = replay_first
    sender.send_next(webhook.id)
    assert deliveries(database)[0].status == "pending"
    assert sender.send_next(webhook.id)
    assert receiver.received.qsize() == 2


def test_a_webhook_that_fails_for_days_is_disabled(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook
):
    webhook = new_webhook(failing_since=datetime.now(UTC) - DISABLED_AFTER + timedelta(hours=1))
    tell(database)
    fail_once(database)
    assert read(database, webhook).is_enabled
    with database.transaction() as session:
        session.execute(update(Webhook).values(failing_since=datetime.now(UTC) - DISABLED_AFTER))
    fail_once(database)
    disabled = read(database, webhook)
    assert (disabled.is_enabled, disabled.disabled_reason) == (False, "failing")
    make_due(database)
    assert not sender.send_next(webhook.id), "what waits is sent once it is enabled again"
    tell(database)
    assert len(deliveries(database)) == 1


def test_one_that_is_gone_is_disabled_at_once(database: Database, new_webhook: NewWebhook):
    webhook = new_webhook()
    tell(database)
    assert fail_once(database, Outcome(0.1, status_code=410)).status == "failed"
    assert read(database, webhook).disabled_reason == "gone"


# Several senders


def test_one_sends_and_another_takes_over_once_it_is_lost(database: Database, new_webhook: NewWebhook):
    webhook = new_webhook()
    tell(database)

    def claim(lease: timedelta) -> int | None:
        with database.transaction() as session:
            claimed = claim_delivery(session, webhook.id, lease=lease)
            return claimed and claimed[0].attempt

    assert [claim(timedelta(0)), claim(timedelta(hours=1)), claim(timedelta(0))] == [1, 2, None]
    [delivery] = deliveries(database)
    with database.transaction() as session:
        assert lock_attempt(session, delivery.id, 1) is None, "it has been given up for lost"
        conclude(session, *lock_attempt(session, delivery.id, 2), OK)
    assert deliveries(database)[0].status == "delivered"


def test_a_webhook_that_is_deleted_meanwhile(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    webhook = new_webhook()
    tell(database)

    def delete_first(handler: Any) -> None:
        with database.of(DEFAULT_PROJECT).transaction() as session:
            delete_webhook(session, webhook.id)
        answer(200)(handler)

    receiver.answer = delete_first
    assert sender.send_next(webhook.id)
    assert deliveries(database) == []


def test_an_event_does_not_wait_for_a_webhook_that_is_being_deleted(postgres: Database):
    webhook = add_webhook(postgres, "")
    with postgres.of(DEFAULT_PROJECT).transaction() as session:
        delete_webhook(session, webhook.id)
        session.flush()
        tell(postgres)
    assert deliveries(postgres) == []


def test_a_webhook_is_not_deleted_under_an_event(postgres: Database):
    webhook = add_webhook(postgres, "")

    def delete() -> None:
        with postgres.of(DEFAULT_PROJECT).transaction() as session:
            delete_webhook(session, webhook.id)

    with ThreadPoolExecutor(1) as pool:
        with postgres.transaction() as session:
            enqueue_event(session, DEFAULT_PROJECT, "job.failed", {})
            deletion = pool.submit(delete)
            with postgres.of(DEFAULT_PROJECT).transaction() as other:  # to change it is no matter
                rotate_secret(other, webhook.id, overlap=timedelta())
        deletion.result(timeout=20)
    assert deliveries(postgres) == []


def test_due_ones_in_turn(database: Database, new_webhook: NewWebhook):
    first, second, third = (new_webhook() for _ in range(3))
    for webhook in (first, second, third):
        with database.transaction() as session:
            session.add(WebhookDelivery(webhook_id=webhook.id, event_type="job.failed", payload="{}"))
    with database.reading() as session:
        assert list(due_webhooks(session, but=(), limit=2)) == [first.id, second.id]
        assert list(due_webhooks(session, but=(first.id,), limit=2)) == [second.id, third.id]


def test_a_slow_receiver_holds_up_no_other(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    with receiving() as other:
        released = threading.Event()
        receiver.answer = lambda handler: (released.wait(30), answer(200)(handler))
        new_webhook("job.failed")
        add_webhook(database, other.url, "job.failed")
        for _ in range(3):
            tell(database)
        sender.dispatch()
        events = [other.next().event for _ in range(3)]
        assert len(events) == 3
        assert receiver.received.qsize() <= 1
        released.set()
        assert [receiver.next() for _ in range(3)]


def test_closing_waits_for_what_is_being_sent(
    database: Database, sender: WebhookSender, new_webhook: NewWebhook, receiver: Receiver
):
    new_webhook()
    tell(database)
    closing, has_begun = threading.Thread(target=sender.close), threading.Event()

    def close_first(handler: Any) -> None:
        closing.start()
        has_begun.set()
        answer(200)(handler)

    receiver.answer = close_first
    sender.dispatch()
    assert has_begun.wait(30)
    closing.join()
    assert deliveries(database)[0].status == "delivered"


def test_the_sweep_removes_old_deliveries(database: Database, new_webhook: NewWebhook, tmp_path: Path):
    new_webhook()
    tell(database)
    with database.transaction() as session:
        session.execute(update(WebhookDelivery).values(created_at=datetime.now(UTC) - timedelta(days=31)))
    tell(database)
    remove_expired_rows(SimpleNamespace(database=database, settings=make_settings(tmp_path)))
    assert len(deliveries(database)) == 1
