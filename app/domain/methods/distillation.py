from typing import ClassVar, Literal

from pydantic import Field

from app.domain.methods.card import ALL_TASKS, MethodCard
from app.domain.methods.spec import DistillingSpec, StudentKind
from app.domain.methods.terms import DistillationTerms, Initialisation, LayerMap


class DistillationSpec(DistillingSpec):
    """Trains the student on the teacher's softened predictions, hidden states, relations or translations."""

    name: Literal["distillation"]
    initialisation: Initialisation = Field(default="random", description="Initial weights of the student.")
    layer_map: LayerMap = Field(
        default="uniform", description="For weight_copy: which teacher layers are copied."
    )
    distillation: DistillationTerms = Field(
        default_factory=DistillationTerms, description="Distillation terms of the loss."
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Knowledge distillation",
        papers=[
            "https://arxiv.org/abs/1503.02531",
            "https://arxiv.org/abs/1606.07947",
            "https://arxiv.org/abs/1908.09355",
            "https://arxiv.org/abs/2012.15828",
        ],
        when="For large data sets: the student learns from the teacher's softened predictions on labelled "
        "and, if present, unlabeled texts. Patient and relation terms also match the teacher's hidden states "
        "and attention relations. Also a baseline for methods that start from the teacher's weights.",
        tasks=ALL_TASKS,
        data="labelled train and dev splits; unlabeled texts are used as well, if present",
    )

    @property
    def students(self) -> tuple[StudentKind, ...]:
        """BiLSTMs too, where only predictions are compared: the baseline of ``bilstm``."""
        terms = self.distillation
        compares_states = terms.hidden_weight or terms.patient_weight or terms.relation_weight
        return ("same_family",) if self.reads_weights or compares_states else ("same_family", "bilstm")

    @property
    def reads_weights(self) -> bool:
        return self.initialisation != "random"
