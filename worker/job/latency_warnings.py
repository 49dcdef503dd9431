"""What was doubtful while latencies were measured, in sentences for the client."""

from collections.abc import Iterator

from worker.job.evaluator import EvaluatedModel
from worker.job.latency_probe import LatencyProbe


def latency_warnings(*, student: EvaluatedModel, teacher: EvaluatedModel | None) -> Iterator[str]:
    """A sentence where other work disturbed the measuring of either."""
    models = {"teacher": teacher, "student": student}
    disturbed = {
        f"{name}'s {precision}": export.calm_reason
        for name, model in models.items()
        if model is not None
        for precision, export in model.exports.items()
        if export.calm is False
    }
    if disturbed:
        yield (
            f"The machine was not calm while latency was measured ({', '.join(disturbed)}): take it as an "
            f"upper bound, and do not compare it. {max(filter(None, disturbed.values()))} For exact figures "
            "run the job on a worker that does nothing else."
        )


def probe_warnings(probe: LatencyProbe) -> Iterator[str]:
    """A sentence where a student was chosen by latencies that other work has lengthened."""
    if probe.reason is not None:
        yield (
            "The machine was not calm while networks were timed for target.max_latency_ms: the student may "
            f"be smaller than need be. {probe.reason} Run the job on a worker that does nothing else, or "
            "allow more."
        )
