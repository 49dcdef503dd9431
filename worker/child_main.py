"""The process of one attempt at a job: ``python -m worker.child_main <workdir>``."""

from worker.supervisor_watch import SupervisorWatch


def main() -> None:
    watch = SupervisorWatch()
    watch.start()

    # Imports torch, which takes seconds: the supervisor may be gone by then.
    from worker.pipeline import main as run_pipeline

    run_pipeline(watch)


if __name__ == "__main__":
    main()
