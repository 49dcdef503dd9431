"""Connections to PostgreSQL that wait for nothing without a bound: the server may be slow, gone or frozen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError

_SERVER_GONE_S = 15
"""How long a query waits for a server whose machine does not answer any more."""
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How long PostgreSQL lets a session hold up the others, in seconds.

    A frozen process keeps its locks until the server ends its transaction. All limits are well below a job's
    lease, and far above what queries here take: files are moved before a transaction's first query or after
    its end.
    """

    lock_s: float = 5
    statement_s: float = 15
    idle_in_transaction_s: float = 10
    answer_s: float = 20
    """For an answer of any kind, by this process: a frozen server keeps no limits, and its kernel keeps its
    connections alive. Longer than the server's own."""
    ping_s: float = 3
    """For the answer that shows whether a connection that lay idle can be used."""
    connect_s: int = 5
    pause_s: float = 1
    """Between two attempts to connect to a server that does not answer."""

    @classmethod
    def within(cls, timeout: timedelta) -> "Limits":
        """Of which none is longer, but that of connecting, of whole seconds."""
        share = timeout.total_seconds() / cls.answer_s
        return cls(
            lock_s=share * cls.lock_s,
            statement_s=share * cls.statement_s,
            idle_in_transaction_s=share * cls.idle_in_transaction_s,
            answer_s=share * cls.answer_s,
            ping_s=share * cls.ping_s,
            connect_s=max(1, round(share * cls.connect_s)),
        )


DEFAULT_LIMITS = Limits()


def postgres_engine(url: str, pool: dict[str, Any], limits: Limits | None) -> Engine:
    """An engine whose connections keep the limits; migrations have none."""
    connect_args: dict[str, str | int] = {
        "connect_timeout": (limits or DEFAULT_LIMITS).connect_s,
        "tcp_user_timeout": _SERVER_GONE_S * 1000,
        "keepalives_idle": _SERVER_GONE_S // 3,
        "keepalives_interval": _SERVER_GONE_S // 3,
        "keepalives_count": 2,
    }
    if limits is not None:
        given = make_url(url).query.get("options", "")  # comes last, so that the operator's word counts
        connect_args["options"] = f"{_options(limits)} {given}"
    engine = create_engine(url, connect_args=connect_args, **pool)
    gate = _ConnectGate(pause_s=(limits or DEFAULT_LIMITS).pause_s)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, cargs: Any, cparams: Any) -> psycopg.Connection[Any]:
        connection = gate.connect(lambda: _Connection.connect(*cargs, **cparams))
        if limits is not None:
            connection.answer_s, connection.ping_s = limits.answer_s, limits.ping_s
        return connection

    @event.listens_for(engine, "checkout")
    def _check(connection: _Connection, *_: object) -> None:
        try:
            connection.ping()
        except psycopg.Error as error:
            raise InvalidatePoolError(str(error)) from None

    return engine


class _Connection(psycopg.Connection[Any]):
    """Gives up on a server that does not answer, and is closed then."""

    answer_s = ping_s = inf

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        if timeout is not None or self.answer_s == inf:
            return super().wait(gen, interval, timeout)
        started = monotonic()
        try:
            return super().wait(gen, interval, self.answer_s)
        except psycopg.OperationalError:
            if monotonic() - started < self.answer_s:
                raise
            self.close()
            raise psycopg.OperationalError(f"no answer from the server in {self.answer_s:g} s") from None

    def ping(self) -> None:
        """Raise where the server does not answer soon. The connection is in no transaction."""
        with self._autocommitting(), self._answered_within(self.ping_s), self.cursor() as cursor:
            cursor.execute("SELECT 1")

    @contextmanager
    def _autocommitting(self) -> Iterator[None]:
        before = self.autocommit
        self.autocommit = True
        yield
        self.autocommit = before

    @contextmanager
    def _answered_within(self, seconds: float) -> Iterator[None]:
        before, self.answer_s = self.answer_s, min(seconds, self.answer_s)
        try:
            yield
        finally:
            self.answer_s = before


class _ConnectGate:
    """While a server does not answer, one thread at a time finds out whether it does again.

    All others fail at once: each would wait as long, and more would come meanwhile.
    """

    def __init__(self, *, pause_s: float) -> None:
        self._pause_s = pause_s
        self._lock = Lock()
        self._error: str | None = None
        self._failed_at = -inf
        self._is_trying = False

    def connect(self, connect: Callable[[], T]) -> T:
        with self._lock:
            if self._error is not None:
                if self._is_trying or monotonic() < self._failed_at + self._pause_s:
                    raise psycopg.OperationalError(self._error)
                self._is_trying = True
        try:
            connection = connect()
        except psycopg.Error as error:
            with self._lock:
                self._error, self._failed_at, self._is_trying = str(error), monotonic(), False
            raise
        with self._lock:
            self._error, self._is_trying = None, False
        return connection


def _options(limits: Limits) -> str:
    seconds = {
        "lock_timeout": limits.lock_s,
        "statement_timeout": limits.statement_s,
        "idle_in_transaction_session_timeout": limits.idle_in_transaction_s,
    }
    return " ".join(f"-c {name}={round(1000 * value)}" for name, value in seconds.items())
