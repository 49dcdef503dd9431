"""What a client may ask of each method: one file a method, and their union."""

from typing import Annotated, Final, get_args

from pydantic import Field

from app.core.specs.card import MethodCard, Spec
from app.core.specs.methods import (
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
