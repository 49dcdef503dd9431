"""What a client may ask of each method: one file a method, registered in ``MethodSpec``."""

from typing import Annotated, Final, get_args

from pydantic import Field

from app.domain.methods.bilstm import BiLstmSpec
from app.domain.methods.card import MethodCard
from app.domain.methods.distillation import DistillationSpec
from app.domain.methods.fine_tuning import FineTuningSpec
from app.domain.methods.low_rank import LowRankSpec
from app.domain.methods.pea_kd import PeaKdSpec, layer_schedule
from app.domain.methods.scratch import ScratchSpec
from app.domain.methods.spec import TEACHER, ModelInput, Spec
from app.domain.methods.static_embedding import StaticEmbeddingSpec
from app.domain.methods.terms import DistillationTerms, LayerMap
from app.domain.methods.tfidf import TfidfSpec
from app.domain.methods.weight_copy import WeightCopySpec
from app.domain.methods.weight_distillation import WeightDistillationSpec
from app.domain.methods.weight_inherited import WeightInheritedSpec
from app.domain.methods.weight_selection import WeightSelectionSpec
from app.domain.methods.weight_squeezing import Gate, WeightSqueezingSpec

__all__ = [
    "METHOD_CARDS",
    "METHOD_SPECS",
    "TEACHER",
    "BiLstmSpec",
    "DistillationSpec",
    "DistillationTerms",
    "FineTuningSpec",
    "Gate",
    "LayerMap",
    "LowRankSpec",
    "MethodCard",
    "MethodSpec",
    "ModelInput",
    "PeaKdSpec",
    "ScratchSpec",
    "Spec",
    "StaticEmbeddingSpec",
    "TfidfSpec",
    "WeightCopySpec",
    "WeightDistillationSpec",
    "WeightInheritedSpec",
    "WeightSelectionSpec",
    "WeightSqueezingSpec",
    "layer_schedule",
]

MethodSpec = Annotated[
    FineTuningSpec
    | ScratchSpec
    | WeightCopySpec
    | WeightSelectionSpec
    | DistillationSpec
    | LowRankSpec
    | WeightSqueezingSpec
    | WeightInheritedSpec
    | WeightDistillationSpec
    | PeaKdSpec
    | BiLstmSpec
    | TfidfSpec
    | StaticEmbeddingSpec,
    Field(discriminator="name"),
]
"""Every method there is. The names, the cards and the worker's methods follow from it."""

METHOD_SPECS: Final[dict[str, type[Spec]]] = {
    get_args(spec.model_fields["name"].annotation)[0]: spec for spec in get_args(get_args(MethodSpec)[0])
}

METHOD_CARDS: Final[dict[str, MethodCard]] = {name: spec.card for name, spec in METHOD_SPECS.items()}
