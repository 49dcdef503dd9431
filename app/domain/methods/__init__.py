"""What a client may ask of each method: one file a method, and their union."""

from typing import Annotated, Final, get_args

from pydantic import Field

from app.domain.methods import (
    bilstm,
    distillation,
    fine_tuning,
    low_rank,
    pea_kd,
    scratch,
    weight_copy,
    weight_distillation,
    weight_inherited,
    weight_selection,
    weight_squeezing,
)
from app.domain.methods.bilstm import BiLstmSpec
from app.domain.methods.card import MethodCard, Spec
from app.domain.methods.distillation import DistillationSpec
from app.domain.methods.fine_tuning import FineTuningSpec
from app.domain.methods.low_rank import LowRankSpec
from app.domain.methods.pea_kd import PeaKdSpec
from app.domain.methods.scratch import ScratchSpec
from app.domain.methods.terms import DistillationTerms, LayerMap
from app.domain.methods.weight_copy import WeightCopySpec
from app.domain.methods.weight_distillation import WeightDistillationSpec
from app.domain.methods.weight_inherited import WeightInheritedSpec
from app.domain.methods.weight_selection import WeightSelectionSpec
from app.domain.methods.weight_squeezing import Gate, WeightSqueezingSpec

__all__ = [
    "METHOD_CARDS",
    "METHOD_SPECS",
    "BiLstmSpec",
    "DistillationSpec",
    "DistillationTerms",
    "FineTuningSpec",
    "Gate",
    "LayerMap",
    "LowRankSpec",
    "MethodCard",
    "MethodSpec",
    "PeaKdSpec",
    "ScratchSpec",
    "Spec",
    "WeightCopySpec",
    "WeightDistillationSpec",
    "WeightInheritedSpec",
    "WeightSelectionSpec",
    "WeightSqueezingSpec",
]

MethodSpec = Annotated[
    fine_tuning.FineTuningSpec
    | scratch.ScratchSpec
    | weight_copy.WeightCopySpec
    | weight_selection.WeightSelectionSpec
    | distillation.DistillationSpec
    | low_rank.LowRankSpec
    | weight_squeezing.WeightSqueezingSpec
    | weight_inherited.WeightInheritedSpec
    | weight_distillation.WeightDistillationSpec
    | pea_kd.PeaKdSpec
    | bilstm.BiLstmSpec,
    Field(discriminator="name"),
]

METHOD_SPECS: Final[dict[str, type[Spec]]] = {
    get_args(spec.model_fields["name"].annotation)[0]: spec for spec in get_args(get_args(MethodSpec)[0])
}

METHOD_CARDS: Final[dict[str, MethodCard]] = {
    "fine_tuning": fine_tuning.CARD,
    "scratch": scratch.CARD,
    "weight_copy": weight_copy.CARD,
    "weight_selection": weight_selection.CARD,
    "distillation": distillation.CARD,
    "low_rank": low_rank.CARD,
    "weight_squeezing": weight_squeezing.CARD,
    "weight_inherited": weight_inherited.CARD,
    "weight_distillation": weight_distillation.CARD,
    "pea_kd": pea_kd.CARD,
    "bilstm": bilstm.CARD,
}
