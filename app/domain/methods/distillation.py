from typing import Literal

from pydantic import Field

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec
from app.domain.methods.terms import DistillationTerms, Initialisation, LayerMap


class DistillationSpec(Spec):
    """Trains the student on what the teacher says: its softened predictions, its states, its translations."""

    name: Literal["distillation"]
    initialisation: Initialisation = Field(default="random", description="Where the student starts.")
    layer_map: LayerMap = Field(default="uniform", description="For weight_copy: which layers are taken.")
    distillation: DistillationTerms = Field(
        default_factory=DistillationTerms, description="How the teacher enters the loss."
    )


CARD = MethodCard(
    title="Knowledge distillation",
    papers=[
        "https://arxiv.org/abs/1503.02531",
        "https://arxiv.org/abs/1606.07947",
        "https://arxiv.org/abs/1908.09355",
        "https://arxiv.org/abs/2012.15828",
    ],
    when="When texts are many: the student learns from the teacher's softened predictions, on labelled "
    "texts and on unlabelled ones where the data set has some. Patient and relation terms look inside "
    "the teacher. Also the control for methods that start from the teacher's weights.",
    tasks=ALL_TASKS,
    data="labelled train and dev splits; unlabeled texts, where there are some, are learnt from as well",
)
