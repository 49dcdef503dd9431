"""An announcement reaches a real broker, and a broker that is away is no error."""

import logging

import pytest
import redis
from kombu.exceptions import OperationalError

from app.core.queue import DEFAULT_QUEUE, Queue


def test_an_announcement_carries_the_id_alone(redis_url):
    queue = Queue(redis_url)
    queue.check()
    queue.announce("job_1")
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen(DEFAULT_QUEUE) == 1
        assert b"jobs.run" in client.lrange(DEFAULT_QUEUE, 0, 0)[0]


def test_an_absent_broker_is_logged_and_not_raised(caplog):
    queue = Queue("redis://127.0.0.1:1/0")
    with caplog.at_level(logging.WARNING):
        queue.announce("job_1")
    assert "job_1" in caplog.text
    with pytest.raises((OperationalError, OSError)):
        queue.check()


def test_without_a_broker_nothing_is_said():
    queue = Queue(None)
    queue.announce("job_1")
    queue.check()
