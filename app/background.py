"""Reads what is too large for its client to wait: threads of the API, beside which requests go on.

What is to be read is in the table, so that any process may read it: a lost one holds a row for a minute.
"""

import logging
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database, ProjectDatabase, ProjectWriteSession
from app.core.db.base import database_time
from app.core.db.intake import claim, due_ids, lock_attempt
from app.core.db.models import Model
from app.core.outages import Outages, first_line
from app.core.settings import Settings
from app.domain.errors import SqueezeError, Unavailable, Unreadable

logger = logging.getLogger(__name__)

MOST_ATTEMPTS: Final = 6
"""With the delays below over at least five minutes."""

_LEASE = timedelta(seconds=60)
_FIRST_DELAY = timedelta(seconds=10)
_POLL_S = 1.0
_STOP_S = 5.0
_INTERRUPTED = f"The process that read it ended {MOST_ATTEMPTS} times. The server log may say why."
_TRANSIENT = (Unavailable, Unreadable, StoreError, SQLAlchemyError, OSError)
"""What may be otherwise next time; ``Unreadable`` where a later version is to read it."""


class Superseded(Exception):  # noqa: N818 - nothing is wrong: there is nobody to read for
    """The row is deleted, or another process reads it."""


@dataclass
class Reading:
    """An attempt at a row."""

    id: str
    project_id: str
    name: str
    attempt: int
    source: dict[str, Any]
    progress: dict[str, Any] = field(default_factory=dict)
    is_lost: bool = False

    def tell(self, step: str, *, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """Say how far it is.

        Raises:
            Superseded: nobody wants to know any more.
        """
        if self.is_lost:
            raise Superseded
        self.progress = {"step": step, "done_bytes": done_bytes, "total_bytes": total_bytes}

    def lock(self, session: ProjectWriteSession) -> Model:
        """The row, to write what it was read as.

        Raises:
            Superseded: it is not this attempt's any more.
        """
        row = lock_attempt(session, Model, self.id, self.attempt)
        if row is None:
            raise Superseded
        return row


class Reader(Protocol):
    """What is done with a row."""

    def read(self, database: ProjectDatabase, reading: Reading) -> None:
        """Read its source and write what it is.

        Raises:
            SqueezeError: it cannot be taken.
            Superseded: by the reading's own methods.
        """

    def fail(self, session: ProjectWriteSession, row: Model, *, code: str, message: str) -> None:
        """Write that it cannot be taken, and why."""


class BackgroundReading:
    """Looks for rows that are due until it is closed."""

    def __init__(self, settings: Settings, database: Database, outages: Outages, reader: Reader) -> None:
        self._database = database
        self._outages = outages
        self._reader = reader
        self._threads = settings.background_intakes
        self._under_way: dict[str, Reading] = {}
        self._lock = threading.Lock()
        self._woken, self._is_closing = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="background-reading", daemon=True)

    @staticmethod
    def connections(settings: Settings) -> int:
        """To the database that it needs."""
        return settings.background_intakes + 1

    @property
    def is_busy(self) -> bool:
        return bool(self._readings())

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look now: something was added."""
        self._woken.set()

    def close(self) -> None:
        """Begin nothing more, and let other processes go on with what is under way."""
        self._is_closing = True
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        for reading in self._readings():
            reading.is_lost = True
            try:
                with self._database.transaction() as session:
                    row = lock_attempt(session, Model, reading.id, reading.attempt)
                    if row is not None:
                        row.due_at = database_time(session)
            except SQLAlchemyError as error:
                logger.warning("%s is read again in a minute: %s", reading.id, first_line(error))

    def _run(self) -> None:
        while not self._is_closing:
            self._woken.clear()
            try:
                for reading in self._readings():
                    self._renew(reading)
                self._begin_due()
            except SQLAlchemyError as error:
                self._outages.report("database", error)
            except Exception:
                logger.exception("models that are to be read in the background are not looked for")
            self._woken.wait(_POLL_S)

    def _readings(self) -> list[Reading]:
        with self._lock:
            return list(self._under_way.values())

    def _renew(self, reading: Reading) -> None:
        with self._database.transaction() as session:
            row = lock_attempt(session, Model, reading.id, reading.attempt)
            if row is None:
                reading.is_lost = True
                return
            row.due_at = database_time(session) + _LEASE
            row.progress = reading.progress

    def _begin_due(self) -> None:
        free = self._threads - len(self._readings())
        if free <= 0:
            return
        with self._database.reading() as reading_session:
            due = due_ids(reading_session, Model, limit=free)
        for id_ in due:
            with self._database.transaction() as session:
                row = claim(session, Model, id_, lease=_LEASE)
                if row is None:
                    continue
                reading = Reading(row.id, row.project_id, row.name, row.attempt, row.source or {})
            with self._lock:
                self._under_way[id_] = reading
            # Not a pool's, whose threads are waited for when the process ends: another process goes on.
            threading.Thread(target=self._read, args=(reading,), name=f"reads-{id_}", daemon=True).start()

    def _read(self, reading: Reading) -> None:
        database = self._database.of(reading.project_id)
        try:
            self._attempt(database, reading)
        except Superseded:
            logger.info("%s is deleted, or another process reads it", reading.id)
        except Exception:
            if not self._is_closing:  # else the database may be closed
                logger.exception("how the attempt at %s ended is not written", reading.id)
        finally:
            with self._lock:
                self._under_way.pop(reading.id, None)
            self.wake()

    def _attempt(self, database: ProjectDatabase, reading: Reading) -> None:
        if reading.attempt > MOST_ATTEMPTS:
            self._fail(database, reading, "reading_interrupted", _INTERRUPTED)
            return
        try:
            self._reader.read(database, reading)
        except Superseded:
            raise
        except _TRANSIENT as error:
            self._put_off(database, reading, error)
        except SqueezeError as error:
            self._fail(database, reading, error.code, error.message)
        except Exception:
            logger.exception("reading %s failed", reading.id)
            self._fail(
                database, reading, "internal_error", f"Internal error. The server log has {reading.id}."
            )

    def _put_off(self, database: ProjectDatabase, reading: Reading, error: Exception) -> None:
        code, message = "service_unavailable", "The database, the disk or the object store did not respond."
        if isinstance(error, SqueezeError):
            code, message = error.code, error.message
        logger.warning("%s, attempt %d: %s", reading.id, reading.attempt, first_line(error))
        if reading.attempt >= MOST_ATTEMPTS:
            self._fail(database, reading, code, message)
            return
        with database.transaction() as session:
            row = reading.lock(session)
            row.error = {"code": code, "message": message}
            row.due_at = database_time(session) + _FIRST_DELAY * 2 ** (reading.attempt - 1)

    def _fail(self, database: ProjectDatabase, reading: Reading, code: str, message: str) -> None:
        with database.transaction() as session:
            self._reader.fail(session, reading.lock(session), code=code, message=message)
