"""The process of one attempt at a job: ``python -m worker.job.main <workdir> [<writable folder> ...]``.

Where folders are named, it may write to no others, and read no others but libraries.
"""

import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.job.confinement import confine
from worker.job.supervisor_watch import SupervisorWatch


def main(arguments: Sequence[str]) -> None:
    """Do the job of a work folder."""
    faulthandler.enable()  # also for the supervisor, which aborts a process that hangs
    workdir, *writable = map(Path, arguments)
    if writable:
        confine(writable)
    watch = SupervisorWatch()
    watch.start()

    # Imports torch, which takes seconds: the supervisor may be gone by then.
    from worker.job.pipeline import main as run_pipeline

    run_pipeline(watch, workdir)


if __name__ == "__main__":
    main(sys.argv[1:])
