"""ONNX files that answer as their network does; others are left out."""

from collections.abc import Collection

from app.domain.documents import Precision
from app.domain.errors import JobError
from worker.export.exports import check_exports, files_of
from worker.job.evaluator import EvaluatedModel
from worker.job.state import JobState


def exclude_unsound(
    state: JobState, model: EvaluatedModel, *, whose: str, required: Collection[Precision] = ()
) -> list[Precision]:
    """Hold each file of a model against its network; leave out one that answers otherwise, with a warning.

    Args:
        state: of the job.
        model: with its files.
        whose: it is, for the warning.
        required: files without which the job fails.

    Returns:
        the precisions that are left out; their files are still there.

    Raises:
        JobError: a required file answers otherwise.
    """
    excluded = []
    for precision, export in list(model.exports.items()):
        try:
            check_exports(
                {precision: export},
                onnx_tolerance=state.request.onnx_tolerance,
                int8_min_agreement=state.request.int8_min_agreement,
            )
        except JobError as error:
            if precision in required:
                raise
            state.reporter.message(
                f"The {whose}'s {precision} file is excluded. {error.message}", is_warning=True
            )
            del model.exports[precision]
            excluded.append(precision)
    return excluded


def delete_excluded(model: EvaluatedModel, excluded: Collection[Precision]) -> None:
    """Remove the files that were left out."""
    for precision in excluded:
        for path in files_of(model.paths.pop(precision)):
            path.unlink()
