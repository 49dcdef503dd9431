"""How long a job may run, and what its client hears when it ran longer."""

from datetime import timedelta

from app.core.settings import Settings
from worker.runner.protocol import Failed, JobRequest


def time_limit(request: JobRequest, settings: Settings) -> timedelta:
    """The server's, or what the job asked for if that is less."""
    asked_s = request.spec.time_limit_s
    if asked_s is None or asked_s >= settings.job_time_limit.total_seconds():
        return settings.job_time_limit
    return timedelta(seconds=asked_s)


def timed_out(limit: timedelta) -> Failed:
    """It would run out of time again: this ends the job."""
    return Failed(
        code="timed_out",
        message=f"The job was still running at its time limit of {limit}. Train fewer epochs or a smaller "
        "student, or raise time_limit_s, up to the server's SQUEEZE_JOB_TIME_LIMIT.",
    )


def stalled(limit: timedelta) -> Failed:
    return Failed(
        code="stalled",
        message=f"The job's process showed no progress for {limit} and was ended. The worker log has the "
        "stacks of its threads.",
        retryable=True,
    )
