"""A trial as a job: what it is asked, and what its student measures."""

from app.domain.documents import JobSpec
from app.domain.documents.comparison import FILE_NAMES, Comparison
from app.domain.documents.report import JobReport
from app.domain.documents.search import Candidate, Measurement
from app.domain.search.halving import is_full

_SPLIT = "dev"


def run_spec(search: JobSpec, candidate: Candidate, share: float) -> JobSpec:
    """The job of one run. A short one has its own learning-rate schedule, and ends with its epochs."""
    training = candidate.training
    if not is_full(candidate, share):
        assert training.epochs is not None, "a candidate's epochs are planned"
        epochs = training.epochs * share
        training = training.model_copy(update={"epochs": epochs, "max_epochs": epochs})
    return search.model_copy(
        update={
            "method": candidate.method,
            "target": candidate.target,
            "training": training,
            "controls": False if search.controls is None else search.controls,
        }
    )


def measurements_of(report: JobReport, comparison: Comparison) -> tuple[Measurement, ...]:
    """Of each file of a student that was compared with its teacher; empty where none was."""
    split = comparison.splits.get(_SPLIT)
    if split is None:
        return ()
    compared = {model.name: model for model in split.models}
    found = []
    for precision, export in report.student.exports.items():
        model = compared.get(FILE_NAMES[precision])
        if model is None or model.beside_teacher is None or model.beside_teacher.retained is None:
            continue
        retained = model.beside_teacher.retained
        found.append(
            Measurement(
                precision=precision,
                parameters=report.student.total_parameters,
                size_mb=export.size_bytes / 1e6,
                latency_ms=export.latency_ms.get("1"),
                quality=model.quality.value,
                retained=retained.value,
                retained_low=retained.value if retained.low is None else retained.low,
                retained_high=retained.value if retained.high is None else retained.high,
            )
        )
    return tuple(found)
