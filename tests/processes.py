"""Waiting for what happens in other processes."""

from collections.abc import Callable

import redis
from sqlalchemy import Engine, text

from benchmarks.processes import children, frozen, happens, is_alive, is_stopped

__all__ = ["children", "frozen", "is_alive", "is_stopped", "postgres_pid", "redis_pid", "wait_until"]


def wait_until(condition: Callable[[], object], timeout_s: float = 15) -> None:
    assert happens(condition, within_s=timeout_s), "it did not happen in time"


def redis_pid(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return client.info("server")["process_id"]


def postgres_pid(engine: Engine) -> int:
    """Of the server, whose children serve the connections."""
    with engine.connect() as connection:
        return int(connection.scalar(text("select split_part(pg_read_file('postmaster.pid'), chr(10), 1)")))
