"""An announcement reaches a real broker; one that is away or frozen is no error and costs nobody any time."""

import logging
import time
from collections.abc import Iterator

import pytest
import redis
from kombu.exceptions import OperationalError

from app.core.queue import Queue
from tests.processes import frozen, redis_pid, wait_until

NAME = "squeeze"
AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    queue = Queue(redis_url)
    yield queue
    queue.close()


def messages(redis_url: str, name: str = NAME) -> list[bytes]:
    with redis.Redis.from_url(redis_url) as client:
        return client.lrange(name, 0, -1)


def test_an_announcement_carries_the_id_alone(queue, redis_url):
    queue.check()
    queue.announce("job_1", NAME)
    queue.announce("job_2", "gpu")
    assert queue.flush(30)
    [message] = messages(redis_url)
    assert b"jobs.run" in message
    assert len(messages(redis_url, "gpu")) == 1
    assert (queue.length(NAME), queue.length("gpu"), queue.length("other")) == (1, 1, 0)


def test_what_was_announced_is_sent_before_the_end(redis_url):
    queue = Queue(redis_url)
    for number in range(50):
        queue.announce(f"job_{number}", NAME)
    queue.close()
    assert len(messages(redis_url)) == 50


def test_an_absent_broker_is_logged_once_and_not_raised(caplog):
    queue = Queue(AWAY)
    with caplog.at_level(logging.WARNING):
        for number in range(50):
            queue.announce(f"job_{number}", NAME)
            assert queue.flush(30)
        assert queue.length(NAME) is None
    assert len(caplog.records) == 1
    with pytest.raises((OperationalError, OSError)):
        queue.check()


def test_a_frozen_broker_delays_nobody(redis_url, caplog):
    caplog.set_level(logging.INFO)
    queue = Queue(redis_url, timeout_s=0.2)
    queue.announce("job_1", NAME)
    assert queue.flush(30)
    with frozen(redis_pid(redis_url)):
        started = time.perf_counter()
        for number in range(250):
            queue.announce(f"job_{number}", NAME)
        announced_s = time.perf_counter() - started
        assert queue.flush(60)
        assert announced_s < (time.perf_counter() - started) / 10, "they do not wait for the broker"
        assert queue.length(NAME) is None
        assert len(caplog.records) == 1
    queue.pause_s = 0
    queue.announce("job_2", NAME)
    assert queue.flush(30)
    wait_until(lambda: len(messages(redis_url)) >= 2)
    assert len(messages(redis_url)) <= 3, "what was announced meanwhile is left to the sweep"
    assert "again" in caplog.messages[-1]
    queue.close()


def test_without_a_broker_nothing_is_said():
    queue = Queue(None)
    queue.announce("job_1", NAME)
    queue.check()
    assert queue.length(NAME) is None
    queue.close()
