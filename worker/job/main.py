"""The process of one attempt at a job: ``python -m worker.job.main <workdir>``."""

import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.job.supervisor_watch import SupervisorWatch


def main(arguments: Sequence[str]) -> None:
    """Of the work folder alone."""
    faulthandler.enable()  # also for the supervisor, which aborts a process that hangs
    watch = SupervisorWatch()
    watch.start()

    # Imports torch, which takes seconds: the supervisor may be gone by then.
    from worker.job.pipeline import main as run_pipeline

    run_pipeline(watch, Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
