"""The dimensions of a job's vectors: those of its teacher, fewer where that is asked for."""

from app.domain.architectures import StaticShape
from app.domain.documents.manifest import DatasetManifest, ModelManifest
from app.domain.documents.target import Target
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS

_POINTER = "#/target/dimensions"


def job_dimensions(
    model: ModelManifest | None, data: DatasetManifest, target: Target | None, *, learns_from_scores: bool
) -> int:
    """Of the student's vectors; 0 for tasks with other answers."""
    if not TASKS[data.task].answers_in_vectors:
        return 0
    if learns_from_scores and data.dimensions is not None:
        return data.dimensions
    whole = 1 if model is None else model.dimensions
    if target is None:
        return whole
    return target.shape.dimensions if isinstance(target.shape, StaticShape) else target.dimensions or whole


def require_dimensions(
    model: ModelManifest | None, data: DatasetManifest, target: Target | None, *, learns_from_scores: bool
) -> None:
    """Refuse dimensions that a teacher's vectors cannot be brought to.

    Raises:
        InvalidRequest: the task has no vectors, or the teacher's are not more, or others say them.
    """
    if target is None or target.dimensions is None:
        return
    if isinstance(target.shape, StaticShape):
        raise _refused("target.shape gives the dimensions of the vectors already. Omit target.dimensions.")
    if not TASKS[data.task].answers_in_vectors:
        raise _refused(f"target.dimensions is for sentence_embedding; the task is {data.task}. Omit it.")
    if learns_from_scores:
        raise _refused(
            f"The student answers in the space of the data set's teacher_scores, of {data.dimensions} "
            "dimensions. Omit target.dimensions, or upload shorter vectors."
        )
    if model is None:
        return
    if target.dimensions > model.dimensions:
        raise _refused(
            f"target.dimensions is {target.dimensions}; the teacher's vectors have {model.dimensions}. Use "
            "at most that, or omit it.",
            largest=model.dimensions,
        )
    if model.pooling is not None and model.pooling.activation != "identity":
        raise _refused(
            f"The teacher's Dense module ends in {model.pooling.activation}, after which its vectors cannot "
            "be projected. Omit target.dimensions."
        )


def _refused(message: str, **details: int) -> InvalidRequest:
    return InvalidRequest("dimensions_not_supported", message, pointer=_POINTER, **details)
