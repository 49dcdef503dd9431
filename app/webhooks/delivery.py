"""What becomes of a delivery after an attempt: sent, to be sent again, or given up."""

import random
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from app.core.db import WriteSession
from app.core.db.base import database_time
from app.core.db.webhooks import DisabledReason, Webhook, WebhookDelivery
from app.webhooks.sending import Outcome

MOST_ATTEMPTS: Final = 10
"""With the delays below over about a day."""
DISABLED_AFTER: Final = timedelta(days=5)
"""Of failures without a success between them."""

_FIRST_DELAY = timedelta(seconds=5)
_GROWTH = 4
_LONGEST_DELAY = timedelta(hours=8)
_LOGGED_ATTEMPTS = 20


def conclude(session: WriteSession, delivery: WebhookDelivery, webhook: Webhook, outcome: Outcome) -> None:
    """Write how the last attempt at a locked delivery of a locked webhook ended."""
    now = database_time(session)
    delivery.attempts = [*delivery.attempts, _entry(delivery, outcome, now)][-_LOGGED_ATTEMPTS:]
    if outcome.is_delivered:
        delivery.status, delivery.due_at = "delivered", None
        webhook.failing_since = None
        return
    delivery.failures += 1
    webhook.failing_since = webhook.failing_since or now
    is_gone = outcome.status_code == HTTPStatus.GONE
    if is_gone or delivery.failures >= MOST_ATTEMPTS:
        delivery.status, delivery.due_at = "failed", None
    else:
        delivery.due_at = now + retry_delay(delivery.failures, outcome)
    if is_gone:
        _disable(webhook, "gone")
    elif now - webhook.failing_since >= DISABLED_AFTER:
        _disable(webhook, "failing")


def retry_delay(failures: int, outcome: Outcome) -> timedelta:
    """Four times as long after each failure; at random, so that deliveries do not come back at once."""
    delay: timedelta = min(_FIRST_DELAY * _GROWTH ** (failures - 1), _LONGEST_DELAY)
    asked = min(timedelta(seconds=outcome.retry_after_s), _LONGEST_DELAY)
    return max(delay * random.uniform(0.8, 1.2), asked)  # noqa: S311 - nothing secret


def _disable(webhook: Webhook, reason: DisabledReason) -> None:
    webhook.is_enabled = False
    webhook.disabled_reason = reason


def _entry(delivery: WebhookDelivery, outcome: Outcome, now: datetime) -> dict[str, object]:
    return {
        "attempt": delivery.attempt,
        "ended_at": now.isoformat(),
        "duration_s": round(outcome.duration_s, 3),
        "status_code": outcome.status_code,
        "error": outcome.error,
        "answer": outcome.answer,
    }
