"""What a client may ask for. A spec is stored with its job; settings configure a process."""

from app.core.specs.card import MethodCard, Spec
from app.core.specs.job import JobSpec
from app.core.specs.methods import METHOD_CARDS, METHOD_SPECS, MethodSpec
from app.core.specs.methods.bilstm import BiLstmSpec
from app.core.specs.methods.distillation import DistillationSpec
from app.core.specs.methods.fine_tuning import FineTuningSpec
from app.core.specs.methods.low_rank import LowRankSpec
from app.core.specs.methods.pea_kd import PeaKdSpec
from app.core.specs.methods.scratch import ScratchSpec
from app.core.specs.methods.terms import DistillationTerms, LayerMap
from app.core.specs.methods.weight_copy import WeightCopySpec
from app.core.specs.methods.weight_distillation import WeightDistillationSpec
from app.core.specs.methods.weight_inherited import WeightInheritedSpec
from app.core.specs.methods.weight_selection import WeightSelectionSpec
from app.core.specs.methods.weight_squeezing import Gate, WeightSqueezingSpec
from app.core.specs.target import Target
from app.core.specs.training import Precision, TrainingSpec

__all__ = [
    "METHOD_CARDS",
    "METHOD_SPECS",
    "BiLstmSpec",
    "DistillationSpec",
    "DistillationTerms",
    "FineTuningSpec",
    "Gate",
    "JobSpec",
    "LayerMap",
    "LowRankSpec",
    "MethodCard",
    "MethodSpec",
    "PeaKdSpec",
    "Precision",
    "ScratchSpec",
    "Spec",
    "Target",
    "TrainingSpec",
    "WeightCopySpec",
    "WeightDistillationSpec",
    "WeightInheritedSpec",
    "WeightSelectionSpec",
    "WeightSqueezingSpec",
]
