"""The broker, as Celery reaches it. Apart from the queue, for what has none does without these imports."""

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

BROKER_AWAY = (OperationalError, RedisError, OSError)


class Broker:
    """Of messages that name a task.

    Args:
        url: of Redis or what speaks its protocol.
        queue: for what names none.
        timeout_s: how long it is waited for.
    """

    def __init__(self, url: str, queue: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._celery = Celery(broker=url, set_as_current=False)
        self._celery.conf.update(
            task_ignore_result=True,
            task_default_queue=queue,
            # One more try, at once: a connection kept since the last announcement may have gone stale.
            broker_transport_options={
                "socket_connect_timeout": timeout_s,
                "socket_timeout": timeout_s,
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0,
            },
        )

    def send(self, task: str, argument: str, queue: str) -> None:
        """Raises one of ``BROKER_AWAY``."""
        self._celery.send_task(task, [argument], queue=queue, retry=False)

    def length(self, queue: str) -> int:
        """How many messages wait; raises one of ``BROKER_AWAY``."""
        try:
            with self._celery.connection_for_write() as connection:
                waiting: int = connection.default_channel.queue_declare(queue, passive=True).message_count
        except ChannelError:  # a queue without messages does not exist
            return 0
        return waiting

    def check(self) -> None:
        """Raise when it does not answer."""
        with self._celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=self._timeout_s)
