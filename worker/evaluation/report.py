"""Teacher and student compared."""

from app.domain.documents.report import ModelReport, Ratios


def compare_models(teacher: ModelReport, student: ModelReport, *, metric: str) -> Ratios:
    """How much smaller and faster the student is, and how much of the quality it keeps."""
    shared = [precision for precision in student.exports if precision in teacher.exports]
    return Ratios(
        parameters=teacher.total_parameters / student.total_parameters,
        size={
            precision: teacher.exports[precision].size_bytes / student.exports[precision].size_bytes
            for precision in shared
        },
        latency={
            precision: {
                batch: teacher_ms / student.exports[precision].latency_ms[batch]
                for batch, teacher_ms in teacher.exports[precision].latency_ms.items()
            }
            for precision in shared
        },
        quality={
            split: student.quality[split][metric] / values[metric]
            for split, values in teacher.quality.items()
            if values[metric] > 0
        },
    )
