"""The process of one attempt at a job: ``python -m worker.job.main <workdir>``."""

import faulthandler

from worker.job.supervisor_watch import SupervisorWatch


def main() -> None:
    faulthandler.enable()  # also for the supervisor, which aborts a process that hangs
    watch = SupervisorWatch()
    watch.start()

    # Imports torch, which takes seconds: the supervisor may be gone by then.
    from worker.job.pipeline import main as run_pipeline

    run_pipeline(watch)


if __name__ == "__main__":
    main()
