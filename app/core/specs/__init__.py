"""What a client may ask for. A spec is stored with its job; settings configure a process."""

from app.core.specs.job import JobSpec
from app.core.specs.methods import (
    DistillationSpec,
    DistillationTerms,
    FineTuningSpec,
    Gate,
    LayerMap,
    MethodSpec,
    ScratchSpec,
    WeightCopySpec,
    WeightSqueezingSpec,
)
from app.core.specs.target import Target
from app.core.specs.training import Precision, TrainingSpec

__all__ = [
    "DistillationSpec",
    "DistillationTerms",
    "FineTuningSpec",
    "Gate",
    "JobSpec",
    "LayerMap",
    "MethodSpec",
    "Precision",
    "ScratchSpec",
    "Target",
    "TrainingSpec",
    "WeightCopySpec",
    "WeightSqueezingSpec",
]
