"""Work folders: ``<job>/<attempt>``, so that no attempt reads, writes or deletes what a later one has.

An attempt goes on from the files of those before it. It gets them as hard links, which is safe because
files that are kept are replaced and never changed; an earlier attempt that still runs, though it has lost
the job, cannot reach the later one's.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from worker.runner.protocol import KEPT


def job_folder(root: Path, job_id: str) -> Path:
    return root.resolve() / job_id


def open_workdir(root: Path, job_id: str, attempt: int) -> Path:
    """The folder of a new attempt, with what earlier ones on this machine left for it; theirs are removed."""
    job = job_folder(root, job_id)
    folder = job / str(attempt)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = (int(path.name) for path in job.iterdir() if path.name.isdecimal())
    for earlier in sorted((number for number in numbers if number < attempt), reverse=True):
        for name in KEPT:
            _take_over(job / str(earlier) / name, folder / name)
        shutil.rmtree(job / str(earlier), ignore_errors=True)
    return folder


def _take_over(source: Path, target: Path) -> None:
    """Link a file, or the files of a folder, that the attempt does not have yet."""
    with suppress(FileNotFoundError):  # an earlier attempt need not have come so far
        if source.is_dir():
            target.mkdir(exist_ok=True)
            for path in source.iterdir():
                _take_over(path, target / path.name)
        elif source.suffix != ".partial" and not target.exists():
            link_or_copy(source, target)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name that outlives the first."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
