"""Removing what nobody needs any more, and telling beforehand what that would be.

``python -m worker.runner.cleaning [--dry-run]`` does it once: this is ``squeeze sweep``.
"""

import argparse
from collections.abc import Iterator
from datetime import timedelta

from app.core.logging import configure_logging
from app.core.settings import get_settings
from worker.runner.leftovers import Leftover, remove
from worker.runner.local_leftovers import (
    cached_files,
    unfinished_stored_files,
    upload_folders,
    work_folders,
)
from worker.runner.shutdown import Shutdown
from worker.runner.stored_leftovers import (
    checkpoint_leftovers,
    expired_upload_leftovers,
    find_orphans,
    note,
    orphan_leftovers,
)
from worker.runner.worker import Worker, create_worker


def remove_checkpoints(worker: Worker) -> None:
    """Checkpoints that no job goes on from; cheap, but the store may take its time."""
    remove(checkpoint_leftovers(worker))


def clean_up(worker: Worker) -> None:
    """Stored files without a row, old files of the cache, and what killed processes left on this machine."""
    remove(work_folders(worker))
    remove(cached_files(worker))
    remove(upload_folders(worker))
    remove(unfinished_stored_files(worker))
    orphans = find_orphans(worker)
    note(worker, orphans)
    remove(orphan_leftovers(worker, orphans))
    remove(expired_upload_leftovers(worker))


def find_leftovers(worker: Worker) -> Iterator[Leftover]:
    """All that would be removed, now or later; nothing is changed."""
    yield from work_folders(worker)
    yield from cached_files(worker)
    yield from upload_folders(worker)
    yield from unfinished_stored_files(worker)
    yield from expired_upload_leftovers(worker)
    yield from checkpoint_leftovers(worker)
    yield from orphan_leftovers(worker, find_orphans(worker))


def main() -> None:
    parser = argparse.ArgumentParser(prog="squeeze sweep")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    settings = get_settings()
    configure_logging(settings.log_format)
    worker = create_worker(settings, Shutdown())
    if options.dry_run:
        for leftover in find_leftovers(worker):
            print(describe(leftover))  # noqa: T201 - what was asked for
    else:
        remove_checkpoints(worker)
        clean_up(worker)
    worker.database.dispose()


def describe(leftover: Leftover) -> str:
    """A line of a dry run."""
    wait = max(timedelta(0), leftover.wait)
    when = f"in {timedelta(seconds=round(wait.total_seconds()))}" if wait else "now"
    return f"{when:>20}  {leftover.size_bytes:>14,} B  {leftover.kind}  {leftover.name}"


if __name__ == "__main__":
    main()
