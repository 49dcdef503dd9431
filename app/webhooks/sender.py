"""Sends deliveries when they are due: threads of the API, beside which requests go on.

What is due is in the table, so that any process may send it: one that is lost holds a delivery for its lease.
"""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial
from typing import Final

from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database
from app.core.db.base import database_time
from app.core.db.webhooks import claim_delivery, due_webhooks, lock_attempt
from app.core.outages import Outages
from app.core.settings import Settings
from app.webhooks.delivery import conclude
from app.webhooks.sending import send
from app.webhooks.signing import signed_headers

logger = logging.getLogger(__name__)

THREADS: Final = 8
"""That send: each serves one webhook at a time, so that a slow receiver holds up no other."""
CONNECTIONS: Final = THREADS + 1
"""To the database that a sender needs."""

_DELIVERIES = Counter(
    "squeeze_webhook_deliveries_total",
    "Attempts to deliver to a webhook: delivered, to be retried, failed for good, or superseded by another "
    "process.",
    ["outcome"],
)
_OUTCOMES = {"delivered": "delivered", "pending": "retried", "failed": "failed"}
for _outcome in (*_OUTCOMES.values(), "superseded"):
    _DELIVERIES.labels(_outcome)  # from the start, so that a rate has something to rise from

_POLL_S = 1.0
_STOP_S = 5.0


class WebhookSender:
    """Looks for deliveries that are due until it is closed."""

    def __init__(self, settings: Settings, database: Database, outages: Outages) -> None:
        self._settings = settings
        self._database = database
        self._outages = outages
        self._served: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._stopping, self._closed = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more, and leave the database alone; what takes too long is sent again later."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            served = list(self._served.values())
        wait(served, _STOP_S)
        self._closed.set()

    def dispatch(self) -> None:
        """Have what is due now sent, as far as there are threads for it."""
        with self._lock:
            served = frozenset(self._served)
        if len(served) >= THREADS:
            return
        with self._database.reading() as session:
            due = due_webhooks(session, but=served, limit=THREADS - len(served))
        for webhook_id in due:
            with self._lock:
                serving = self._served[webhook_id] = self._pool.submit(self._serve, webhook_id)
            serving.add_done_callback(partial(self._forget, webhook_id))

    def send_next(self, webhook_id: str) -> bool:
        """Send the next due delivery of a webhook; whether there was one and it was delivered."""
        timeout_s = self._settings.webhook_timeout.total_seconds()
        # Resolving the receiver's name comes on top, and has its own timeouts.
        lease = timedelta(seconds=2 * timeout_s + 60)
        with self._database.transaction() as session:
            claimed = claim_delivery(session, webhook_id, lease=lease)
            if claimed is None:
                return False
            delivery, webhook = claimed
            now = database_time(session)
            id_, attempt, url = delivery.id, delivery.attempt, webhook.url
            body, secrets = delivery.payload.encode(), webhook.secrets(now)
        outcome = send(
            url,
            signed_headers(id_, int(now.timestamp()), body, secrets),
            body,
            timeout_s=timeout_s,
            allow_private=self._settings.webhook_private_addresses,
        )
        if self._closed.is_set():
            return False
        counted_as = "superseded"
        with self._database.transaction() as session:
            locked = lock_attempt(session, id_, attempt)
            if locked is not None:
                conclude(session, *locked, outcome)
                counted_as = _OUTCOMES[locked[0].status]
        _DELIVERIES.labels(counted_as).inc()
        return outcome.is_delivered

    def _run(self) -> None:
        while not self._stopping.wait(_POLL_S):
            try:
                self.dispatch()
            except SQLAlchemyError as error:
                self._outages.report("database", error)
            except Exception:
                logger.exception("webhooks that are due are not sent")

    def _serve(self, webhook_id: str) -> None:
        """Send a webhook's deliveries one after another, until one fails: the receiver is given a rest."""
        try:
            while not self._stopping.is_set() and self.send_next(webhook_id):
                pass
        except SQLAlchemyError as error:
            logger.warning("webhook %s waits for the database: %s", webhook_id, str(error).partition("\n")[0])
        except Exception:
            logger.exception("a delivery of webhook %s was not sent", webhook_id)

    def _forget(self, webhook_id: str, _: Future[None]) -> None:
        with self._lock:
            self._served.pop(webhook_id, None)
