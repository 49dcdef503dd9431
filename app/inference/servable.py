"""Whether a model can answer, and with which of its exports."""

from app.domain.documents.manifest import ModelManifest
from app.domain.errors import Conflict
from app.domain.tasks import Task
from app.inference.predictors.errors import InvalidArgument


def served_task(model_id: str, manifest: ModelManifest) -> Task:
    """What a model answers.

    Raises:
        Conflict: it has no ONNX export, or misses the publish gate of its job.
    """
    if manifest.task is None or not manifest.exports:
        raise Conflict(
            "model_not_servable",
            f"Model {model_id} has no ONNX export, because it was uploaded or has no task head. Run a "
            "job with it as teacher (fine_tuning keeps its size); the student of a job can be served.",
            id=model_id,
        )
    if manifest.gate is not None and manifest.gate.is_withheld:
        failed = " ".join(manifest.gate.sentences[:-1])
        raise Conflict(
            "model_withheld",
            f"Model {model_id} is not served: it misses the publish gate of its job. {failed} Release it "
            f"with POST /v1/models/{model_id}/release and a reason, or train a better one.",
            id=model_id,
            failures=[failure.model_dump() for failure in manifest.gate.failures],
        )
    return manifest.task


def choose_precision(model_id: str, manifest: ModelManifest, wanted: str | None) -> str:
    """The export that answers.

    Raises:
        InvalidArgument: the model has none of the wanted precision.
    """
    available = sorted(manifest.exports)
    if wanted is None:
        return "fp32" if "fp32" in available else available[0]
    if wanted not in available:
        raise InvalidArgument(
            "precision_not_available",
            f"Model {model_id} is available in {' and '.join(available)}, not in {wanted[:50]!r}.",
            argument="precision",
            available=available,
        )
    return wanted
