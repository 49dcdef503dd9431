"""Removing rows that have had their time."""

from app.core.db.audit import forget_old_entries
from app.core.db.idempotency_keys import forget_expired_keys
from app.core.db.webhooks import forget_old_deliveries
from worker.runner.worker import Worker


def remove_expired_rows(worker: Worker) -> None:
    """Remove keys of requests that are too old to be sent again, and old entries of logs."""
    with worker.database.transaction() as session:
        forget_expired_keys(session)
        forget_old_deliveries(session, older_than=worker.settings.keep_webhook_deliveries)
        if worker.settings.keep_audit is not None:
            forget_old_entries(session, older_than=worker.settings.keep_audit)
