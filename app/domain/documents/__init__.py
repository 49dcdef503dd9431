"""What is stored or sent as JSON."""

from app.domain.documents.job_spec import JobSpec
from app.domain.documents.target import Target
from app.domain.documents.training import Precision, TrainingSpec

__all__ = ["JobSpec", "Precision", "Target", "TrainingSpec"]
