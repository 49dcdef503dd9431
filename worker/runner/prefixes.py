"""Where attempts store what they make. Derived, so that it can be deleted when an attempt has ended."""

from app.core.db.jobs import Job
from app.core.storage import project_prefix


def output_prefix(job: Job) -> str:
    """Of the student of the current attempt."""
    return project_prefix(job.project_id, "models", f"{job.id}-{job.attempt}")


def checkpoint_prefix(job: Job) -> str:
    """Of the checkpoints of the current attempt."""
    return project_prefix(job.project_id, "checkpoints", f"{job.id}-{job.attempt}")
