"""The outside of a method, of what a job's request and its earlier stages say."""

from collections.abc import Callable

from transformers import PreTrainedModel

from app.domain.architectures import Architecture
from app.domain.documents import TrainingSpec
from worker.job.context import JobContext
from worker.job.state import JobState


def method_context(
    state: JobState,
    load_model: Callable[[str], PreTrainedModel] | None = None,
    *,
    kind: type[JobContext] = JobContext,
    architecture: Architecture | None = None,
    training: TrainingSpec | None = None,
) -> JobContext:
    """What a method, or a stage that asks the teacher, sees.

    Args:
        state: of the job.
        load_model: gives other models; None: there are none.
        kind: of context.
        architecture: what is made; None: the planned student.
        training: how; None: as the job asks.
    """
    request = state.request
    return kind(
        device=state.device,
        training=training or state.spec.training,
        architecture=architecture or state.architecture,
        cache_dir=request.cache_dir,
        checkpoints=state.checkpoints,
        checkpoint_interval_s=request.checkpoint_interval_s,
        reporter=state.reporter,
        cancellation=state.cancellation,
        load_model=load_model or _no_model,
    )


def _no_model(role: str) -> PreTrainedModel:
    raise KeyError(role)
