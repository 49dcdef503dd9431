"""Files in the store that no row names, and since when: those that have been orphans for long are deleted.

By the database's clock, and only what was noted before: a job that stores its student, or a database restored
from a backup, has that long to name its files.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import String, delete, select, true
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime
from app.core.db.checkpoints import JobCheckpoint
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job
from app.core.db.models import UNREAD, Model
from app.core.db.session import ReadSession, WriteSession
from app.core.db.uploads import Upload
from app.domain.errors import Unreadable
from app.domain.job_states import JobStatus


class Orphan(Base):
    __tablename__ = "storage_orphans"

    prefix: Mapped[str] = mapped_column(String(255), primary_key=True)
    """Or the key of one file, beside others that are named."""
    noted_at: Mapped[datetime] = mapped_column(default=DatabaseTime())


def named_prefixes(session: ReadSession) -> set[str]:
    """Those of the files of every model, data set and upload, and of the checkpoints of every job.

    Raises:
        Unreadable: a row does not say; a later version of the service wrote it.
    """
    found: set[str] = set()
    for table, has_files in ((Model, Model.status.not_in(UNREAD)), (Dataset, true())):
        prefix = table.manifest_json["files"]["prefix"].as_string()
        for row_id, name in session.execute(select(table.id, prefix).where(has_files)):
            if name is None:
                raise Unreadable(row_id, f"The manifest of {row_id} does not say where its files are.")
            found.add(name)
    found.update(key.rpartition("/")[0] for key in session.scalars(select(JobCheckpoint.key)))
    found.update(session.scalars(select(Upload.prefix)))
    return found


def named_model_files(session: ReadSession) -> Mapping[str, Collection[str]]:
    """The names of each model's files, by its prefix: jobs add files to that of their teacher."""
    files = Model.manifest_json["files"]
    query = select(files["prefix"].as_string(), files["entries"].as_json())
    return {prefix: entries for prefix, entries in session.execute(query) if isinstance(entries, dict)}


def running_attempts(session: ReadSession) -> list[tuple[str, int]]:
    """The job and the number of each attempt that may store files; also in a status of a later version."""
    ended = [status.value for status in JobStatus if status.is_terminal]
    query = select(Job.id, Job.attempt).where(Job.status_text.not_in([*ended, JobStatus.QUEUED.value]))
    return [(job_id, attempt) for job_id, attempt in session.execute(query)]


def noted_orphans(session: ReadSession) -> Mapping[str, datetime]:
    """When each was noted, by its prefix."""
    return {orphan.prefix: orphan.noted_at for orphan in session.scalars(select(Orphan))}


def note_orphans(session: WriteSession, prefixes: Collection[str]) -> None:
    """Note prefixes that were not noted yet, and forget those that are no orphans any more."""
    noted = noted_orphans(session)
    session.add_all(Orphan(prefix=prefix) for prefix in sorted(set(prefixes) - noted.keys()))
    gone = noted.keys() - set(prefixes)
    if gone:
        session.execute(delete(Orphan).where(Orphan.prefix.in_(gone)))
