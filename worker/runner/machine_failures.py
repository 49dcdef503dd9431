"""What a client hears when the worker's machine, or the store that it uses, fails."""

from obstore.exceptions import BaseError as StoreError

from app.domain.errors import SqueezeError
from worker.runner.protocol import Failed

STORAGE_UNAVAILABLE = "storage_unavailable"
_DISK_FULL = ("No space left on device", "Disk quota exceeded")


def is_disk_full(error: Exception) -> bool:
    """By the system's words: libraries pass them on in errors of their own."""
    return any(words in str(error) for words in _DISK_FULL)


def storage_unavailable() -> Failed:
    return Failed(
        code=STORAGE_UNAVAILABLE,
        message="The object store does not respond or returned an error. Check that it runs and takes the "
        "worker's credentials.",
        retryable=True,
    )


def disk_full() -> Failed:
    return Failed(
        code="disk_full",
        message="The disk of the worker's machine is full. Free space in SQUEEZE_DATA_DIR there.",
        retryable=True,
    )


def work_folder_lost() -> Failed:
    return Failed(
        code="work_folder_lost",
        message="The job's work folder was deleted while it ran. If it happens again, look for what cleans "
        "up SQUEEZE_DATA_DIR on the worker's machine.",
        retryable=True,
    )


def machine_failure(error: OSError) -> Failed:
    """For an attempt that could not be started or watched."""
    if is_disk_full(error):
        return disk_full()
    return Failed(
        code="worker_error",
        message=f"The worker could not run the job: {error.strerror or type(error).__name__}. The worker log "
        "has the details.",
        retryable=True,
    )


def failed_transfer(error: Exception) -> Failed:
    """For an attempt whose inputs could not be fetched, or whose student could not be stored."""
    match error:
        case SqueezeError():
            return Failed(code=error.code, message=error.message)
        case StoreError():
            return storage_unavailable()
        case FileNotFoundError():
            return work_folder_lost()
        case OSError():
            return machine_failure(error)
        case _:
            return Failed(
                code="internal_error",
                message="The job's files could not be stored. The worker log has the details, by job id.",
            )
