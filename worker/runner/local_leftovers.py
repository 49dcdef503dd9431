"""Files on the worker's own machine that nobody needs any more.

Ages are differences of times that one file system has given.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from app.core.db.jobs import Job
from app.domain.errors import Unreadable
from app.domain.job_states import JobStatus
from worker.runner.leftovers import Leftover
from worker.runner.worker import Worker

_ABANDONED = timedelta(days=1)
"""Age at which a file that is being written is abandoned: no output takes so long to write."""
_IN_USE = timedelta(hours=1)
"""A job may be about to open what another has used so lately."""


def work_folders(worker: Worker) -> Iterator[Leftover]:
    """Those of jobs that have ended, and old ones of attempts that are over: another host has the job."""
    root = worker.settings.work_dir
    if not root.is_dir():
        return
    now = _clock_of(root)
    for folder in sorted(root.iterdir()):
        with worker.database.reading() as session:
            job = session.get(Job, folder.name)
        if _has_ended(job):
            yield _local("work folder", folder)
        elif job is not None:
            for attempt in sorted(folder.iterdir()):
                is_running = job.status_text != JobStatus.QUEUED and attempt.name == str(job.attempt)
                if not is_running:
                    age = now - _last_change(attempt)
                    yield _local("work folder", attempt, wait=worker.settings.keep_work - age)


def cached_files(worker: Worker) -> Iterator[Leftover]:
    """Those never finished, old ones and, where the cache is too large, those that are unused for longest."""
    root = worker.settings.cache_dir
    if not root.is_dir():
        return
    now = _clock_of(root)
    for path in root.rglob("*.partial"):
        yield _local("unfinished cache file", path, wait=_ABANDONED - (now - _last_change(path)))
    files = sorted((path for path in root.rglob("*") if _is_whole(path)), key=_used)
    too_much = sum(map(_size, files)) - worker.settings.cache_max_bytes
    for path in files:
        age = now - _used(path)
        if age > worker.settings.keep_cache or (too_much > 0 and age > _IN_USE):
            too_much -= _size(path)
            yield _local("cache file", path)


def upload_folders(worker: Worker) -> Iterator[Leftover]:
    """Of uploads that a killed API was checking."""
    root = Path(tempfile.gettempdir())
    now = _clock_of(root)
    for path in sorted(root.glob("squeeze-intake-*")):
        with suppress(FileNotFoundError):
            yield _local("upload", path, wait=worker.settings.keep_orphans - (now - _last_change(path)))


def _is_whole(path: Path) -> bool:
    return path.is_file() and not any(part.endswith(".partial") for part in path.parts)


def unfinished_stored_files(worker: Worker) -> Iterator[Leftover]:
    """Of a store that is a folder: what was being written when its process was killed. Listings hide it."""
    url = urlsplit(worker.settings.resolved_storage_url)
    root = Path(url.path)
    if url.scheme != "file" or not root.is_dir():
        return
    now = _clock_of(root)
    for path in sorted(root.rglob("*#[0-9]*")):
        yield _local("unfinished stored file", path, wait=_ABANDONED - (now - _changed(path)))


def _has_ended(job: Job | None) -> bool:
    """Or was never here."""
    try:
        return job is None or job.status.is_terminal
    except Unreadable:
        return False  # a worker of another version knows more


def _local(kind: str, path: Path, *, wait: timedelta = timedelta(0)) -> Leftover:
    size = sum(map(_size, path.rglob("*"))) + _size(path)
    return Leftover(kind, str(path), size, partial(_remove, path), wait)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    """Of a file; folders and what is gone meanwhile count nothing."""
    return path.lstat().st_size if path.is_file() else 0


def _clock_of(folder: Path) -> timedelta:
    """The present time of the file system, since its epoch."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        return timedelta(seconds=os.fstat(probe.fileno()).st_mtime)


def _changed(path: Path) -> timedelta:
    try:
        return timedelta(seconds=path.lstat().st_mtime)
    except FileNotFoundError:  # gone meanwhile
        return timedelta(0)


def _used(path: Path) -> timedelta:
    """Jobs say so by the time of access."""
    try:
        return max(_changed(path), timedelta(seconds=path.lstat().st_atime))
    except FileNotFoundError:
        return timedelta(0)


def _last_change(folder: Path) -> timedelta:
    """Of anything in it."""
    return max(map(_changed, [folder, *folder.rglob("*")]))
