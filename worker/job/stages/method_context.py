"""The outside of a method, of what a job's request and its earlier stages say."""

from collections.abc import Callable

from transformers import PreTrainedModel

from worker.job.context import JobContext
from worker.job.state import JobState


def method_context(state: JobState, load_model: Callable[[str], PreTrainedModel] | None = None) -> JobContext:
    """What a method, or a stage that asks the teacher, sees; None: there is no other model."""
    request = state.request
    return JobContext(
        device=state.device,
        training=state.spec.training,
        architecture=state.architecture,
        cache_dir=request.cache_dir,
        checkpoints=state.checkpoints,
        checkpoint_interval_s=request.checkpoint_interval_s,
        reporter=state.reporter,
        cancellation=state.cancellation,
        load_model=load_model or _no_model,
    )


def _no_model(role: str) -> PreTrainedModel:
    raise KeyError(role)
