"""Files in the store that nobody needs any more."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath

from sqlalchemy.exc import IntegrityError

from app.core.db.base import database_time
from app.core.db.checkpoints import JobCheckpoint, forget_checkpoint, unneeded_checkpoints
from app.core.db.orphans import (
    named_model_files,
    named_prefixes,
    note_orphans,
    noted_orphans,
    running_attempts,
)
from app.core.db.uploads import Upload, expired_uploads, forget_upload
from worker.runner.leftovers import Leftover
from worker.runner.worker import Worker

logger = logging.getLogger(__name__)

_KINDS = ("models", "datasets", "checkpoints", "uploads")
"""What the folder is called in which the prefixes lie that rows name."""


def checkpoint_leftovers(worker: Worker) -> Iterator[Leftover]:
    """Those of jobs that have ended, and all but the last ones of the others."""
    with worker.database.reading() as session:
        unneeded = unneeded_checkpoints(session)
    for row in unneeded:
        yield Leftover("checkpoint", row.key, row.size_bytes, partial(_delete_checkpoint, worker, row))


def expired_upload_leftovers(worker: Worker) -> Iterator[Leftover]:
    """Of clients that never sent the rest, or made nothing of what they had sent."""
    with worker.database.reading() as session:
        expired = expired_uploads(session)
    for row in expired:
        yield Leftover("upload", row.prefix, row.size_bytes, partial(_delete_upload, worker, row))


def find_orphans(worker: Worker) -> Mapping[str, int]:
    """Bytes by prefix, or by key: what no row names, of uploads and attempts that were cut off.

    The store is listed first: what is in use and was listed has a row by the second look. Where the rows name
    none of all that is stored, the database is another one's.
    """
    sizes = worker.storage.sizes("")
    stored: Counter[str] = Counter()
    for key, size in sizes.items():
        prefix = PurePosixPath(key).parent
        if prefix.parent.name in _KINDS:
            stored[str(prefix)] += size
    with worker.database.reading() as session:
        named, model_files = named_prefixes(session), named_model_files(session)
        running = {f"{job_id}-{attempt}" for job_id, attempt in running_attempts(session)}
    named |= {prefix for prefix in stored if PurePosixPath(prefix).name in running}
    if stored and not stored.keys() & named:
        logger.warning("the database names none of the %d prefixes in the store: is it its own?", len(stored))
        return {}
    orphans = {prefix: size for prefix, size in stored.items() if prefix not in named}
    for key, size in sizes.items():
        folder, _, name = key.rpartition("/")
        if folder in model_files and name not in model_files[folder]:
            orphans[key] = size
    return orphans


def note(worker: Worker, orphans: Mapping[str, int]) -> None:
    """Remember them: the time that they are kept begins when they are noted first."""
    try:
        with worker.database.transaction() as session:
            note_orphans(session, orphans.keys())
    except IntegrityError:
        logger.info("another worker notes orphans at the same time")


def orphan_leftovers(worker: Worker, orphans: Mapping[str, int]) -> Iterator[Leftover]:
    """Those that were never noted wait in full."""
    with worker.database.reading() as session:
        noted, now = noted_orphans(session), database_time(session)
    for prefix, size in sorted(orphans.items()):
        wait = noted.get(prefix, now) + worker.settings.keep_orphans - now
        yield Leftover("orphan", prefix, size, partial(_delete_orphan, worker, prefix), wait)


def _delete_orphan(worker: Worker, prefix: str) -> None:
    worker.storage.delete_prefix(prefix)
    worker.storage.delete_files([prefix])  # where it is one file


def _delete_upload(worker: Worker, row: Upload) -> None:
    worker.storage.delete_prefix(row.prefix)
    with worker.database.transaction() as session:
        forget_upload(session, row.id)


def _delete_checkpoint(worker: Worker, row: JobCheckpoint) -> None:
    """The file, then the row: what the store does not delete now is tried again."""
    worker.storage.delete_files([row.key])
    with worker.database.transaction() as session:
        forget_checkpoint(session, row)
