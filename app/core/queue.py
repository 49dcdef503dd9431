"""Announcing jobs. A message carries an id and may be lost: the row is the truth, the sweeper finds it."""

import logging
from collections import deque
from functools import cached_property
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING

from app.core.settings import DEFAULT_QUEUE

if TYPE_CHECKING:
    from app.core.broker import Broker

logger = logging.getLogger(__name__)

RUN_JOB = "jobs.run"

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
        self._broker_url = broker_url or None
        self._away_since: float | None = None
        self._asked_at = 0.0
        self._changed = Condition()  # guards what follows
        self._pending: deque[tuple[str, str]] = deque(maxlen=_MOST_PENDING)
        self._sender: Thread | None = None
        self._is_closed = False

    def announce(self, job_id: str, queue: str) -> None:
        """Have some worker told about a queued job; returns at once and never fails."""
        if self._broker_url is None or self._is_left_alone:
            return
        with self._changed:
            self._pending.append((job_id, queue))
            if self._sender is None:
                self._sender = Thread(target=self._send_all, name="announcements", daemon=True)
                self._sender.start()
            self._changed.notify_all()

    def length(self, queue: str) -> int | None:
        """How many messages wait in the broker; None where it cannot tell."""
        if self._broker_url is None or self._is_left_alone:
            return None
        from app.core.broker import BROKER_AWAY

        try:
            waiting = self._broker.length(queue)
        except BROKER_AWAY as error:
            self._is_away(error)
            return None
        self._is_back()
        return waiting

    def check(self) -> None:
        """Raise when there is a broker and it does not answer."""
        if self._broker_url is not None:
            self._broker.check()

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

    @cached_property
    def _broker(self) -> "Broker":
        """Made when it is first asked: its imports take a quarter of the start of a process."""
        from app.core.broker import Broker

        assert self._broker_url is not None
        return Broker(self._broker_url, self.name, timeout_s=self._timeout_s)

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
        from app.core.broker import BROKER_AWAY

        try:
            self._broker.send(RUN_JOB, job_id, queue)
        except BROKER_AWAY as error:
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
