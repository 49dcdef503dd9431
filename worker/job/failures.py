"""What a client hears of a job that failed."""

import torch

from app.domain.errors import RetryableJobError, SqueezeError
from worker.runner.machine_failures import disk_full, is_disk_full
from worker.runner.protocol import Failed

_MEMORY_ADVICE = (
    "The job ran out of memory. Lower training.micro_batch_size, training.batch_size or training.max_length."
)


def failure_of(error: Exception, *, stage: str) -> Failed:
    """The code and the sentence for an error that ended a stage; they tell no internals."""
    match error:
        case SqueezeError():
            return Failed(
                code=error.code, message=error.message, retryable=isinstance(error, RetryableJobError)
            )
        case torch.AcceleratorError():
            return Failed(
                code="accelerator_failed",
                message=f"The GPU reported an error in the stage '{stage}'. If it happens again, check the "
                "worker's GPU.",
                retryable=True,
            )
        case _ if is_disk_full(error):
            return disk_full()
        case MemoryError() | torch.OutOfMemoryError():
            return Failed(code="out_of_memory", message=_MEMORY_ADVICE)
        case RuntimeError() if "can't allocate memory" in str(error):  # torch's, on the CPU
            return Failed(code="out_of_memory", message=_MEMORY_ADVICE)
        case _:
            return Failed(
                code="internal_error",
                message=f"Internal error in the stage '{stage}'. The worker log has the details, by job id.",
            )
