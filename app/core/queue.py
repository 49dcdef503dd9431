"""Announcing jobs. A message carries an id and may be lost: the row is the truth, the sweeper finds it."""

import logging
from collections import deque
from threading import Condition, Thread
from time import monotonic

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from app.core.settings import DEFAULT_QUEUE

logger = logging.getLogger(__name__)

RUN_JOB = "jobs.run"

_BROKER_AWAY = (OperationalError, RedisError, OSError)
_MOST_PENDING = 10_000


class Queue:
    """Sends announcements; without a broker it sends none and workers poll the table.

    They are sent by a thread of its own: a broker that is frozen or away costs nobody else any time. While it
    is, announcements are dropped; ``length`` later tells that messages are missing.

    Args:
        broker_url: of Redis or what speaks its protocol.
        name: of the queue for new jobs.
        timeout_s: how long the broker is waited for.
        pause_s: how long one that did not respond is left alone.
    """

    def __init__(
        self,
        broker_url: str | None,
        name: str = DEFAULT_QUEUE,
        *,
        timeout_s: float = 2,
        pause_s: float = 10,
    ) -> None:
        self.name = name
        self.pause_s = pause_s
        self._timeout_s = timeout_s
        self._celery = Celery(broker=broker_url, set_as_current=False) if broker_url else None
        if self._celery is not None:
            self._celery.conf.update(
                task_ignore_result=True,
                task_default_queue=name,
                # One more try, at once: a connection kept since the last announcement may have gone stale.
                broker_transport_options={
                    "socket_connect_timeout": timeout_s,
                    "socket_timeout": timeout_s,
                    "max_retries": 1,
                    "interval_start": 0,
                    "interval_step": 0,
                },
            )
        self._away_since: float | None = None
        self._asked_at = 0.0
        self._changed = Condition()  # guards what follows
        self._pending: deque[tuple[str, str]] = deque(maxlen=_MOST_PENDING)
        self._sender: Thread | None = None
        self._is_closed = False

    def announce(self, job_id: str, queue: str) -> None:
        """Have some worker told about a queued job; returns at once and never fails."""
        if self._celery is None or self._is_left_alone:
            return
        with self._changed:
            self._pending.append((job_id, queue))
            if self._sender is None:
                self._sender = Thread(target=self._send_all, name="announcements", daemon=True)
                self._sender.start()
            self._changed.notify_all()

    def length(self, queue: str) -> int | None:
        """How many messages wait in the broker; None where it cannot tell."""
        if self._celery is None or self._is_left_alone:
            return None
        try:
            with self._celery.connection_for_write() as connection:
                waiting: int = connection.default_channel.queue_declare(queue, passive=True).message_count
        except ChannelError:  # a queue without messages does not exist
            waiting = 0
        except _BROKER_AWAY as error:
            self._is_away(error)
            return None
        self._is_back()
        return waiting

    def check(self) -> None:
        """Raise when there is a broker and it does not answer."""
        if self._celery is not None:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=self._timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was announced is sent or given up; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout_s)

    def close(self) -> None:
        """Send what was announced, as long as the broker takes it; end the thread."""
        self.flush(self._timeout_s)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._is_closed)
                if not self._pending:
                    return
                job_id, queue = self._pending[0]
            is_sent = self._send(job_id, queue)
            with self._changed:
                if is_sent:
                    self._pending.popleft()
                else:
                    self._pending.clear()
                self._changed.notify_all()

    def _send(self, job_id: str, queue: str) -> bool:
        assert self._celery is not None
        try:
            self._celery.send_task(RUN_JOB, [job_id], queue=queue, retry=False)
        except _BROKER_AWAY as error:
            self._is_away(error)
            return False
        self._is_back()
        return True

    @property
    def _is_left_alone(self) -> bool:
        return self._away_since is not None and monotonic() < self._asked_at + self.pause_s

    def _is_away(self, error: Exception) -> None:
        self._asked_at = monotonic()
        if self._away_since is None:
            self._away_since = self._asked_at
            logger.warning("the broker does not respond, workers poll the table: %s", error)

    def _is_back(self) -> None:
        if self._away_since is not None:
            logger.info("the broker responds again, after %.0f s", monotonic() - self._away_since)
        self._away_since = None
