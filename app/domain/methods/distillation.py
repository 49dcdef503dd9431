from typing import ClassVar, Literal

from pydantic import Field

from app.domain.architectures import Architecture, EncoderArchitecture
from app.domain.methods.card import ALL_TASKS, MethodCard
from app.domain.methods.scratch import ScratchSpec
from app.domain.methods.spec import DistillingSpec, Spec, StudentKind
from app.domain.methods.terms import LAYER_MAPS, DistillationTerms, Initialisation, LayerMap
from app.domain.methods.weight_copy import WeightCopySpec
from app.domain.methods.weight_selection import WeightSelectionSpec
from app.domain.tasks import Task, tasks_of


class DistillationSpec(DistillingSpec):
    """Trains the student on the teacher's softened predictions, hidden states, relations or translations."""

    name: Literal["distillation"]
    initialisation: Initialisation | None = Field(
        default=None,
        description="Initial weights of the student: `random`, or as the methods `weight_copy` and "
        "`weight_selection` have them; default: `weight_copy`, or `random` where the teacher's weights "
        "cannot be copied: into a BiLSTM, or out of shared or factorised layers.",
    )
    layer_map: LayerMap = Field(
        default="uniform", description=f"For weight_copy: which teacher layers are copied. {LAYER_MAPS}."
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
        when="With unlabeled texts or large data sets: the student starts as a part of its teacher and "
        "learns from its softened predictions on labelled and unlabeled texts. Patient and relation terms "
        "also match the teacher's hidden states and attention relations. From random weights it is a "
        "baseline for the other methods.",
        tasks=ALL_TASKS,
        data="labelled train and dev splits; unlabeled texts are used as well, if present",
    )
    calibration_passes: ClassVar[float] = 2

    @property
    def students(self) -> tuple[StudentKind, ...]:
        """BiLSTMs too, where only predictions are compared: the baseline of ``bilstm``."""
        terms = self.distillation
        compares_states = terms.hidden_weight or terms.patient_weight or terms.relation_weight
        return ("same_family",) if self.reads_weights or compares_states else ("same_family", "bilstm")

    @property
    def reads_weights(self) -> bool:
        return self.initialisation not in {None, "random"}

    def initial_weights(self, teacher: Architecture, student: Architecture) -> Initialisation:
        """Those that were asked for, or the teacher's, where the student can have them."""
        if self.initialisation is not None:
            return self.initialisation
        is_plain = not isinstance(teacher, EncoderArchitecture) or teacher.is_plain
        can_copy = is_plain and teacher.kind == student.kind != "bilstm"
        return "weight_copy" if can_copy else "random"

    def without_outputs(self, teacher: Architecture, student: Architecture) -> Spec | None:
        match self.initial_weights(teacher, student):
            case "weight_copy":
                return WeightCopySpec(name="weight_copy", layer_map=self.layer_map)
            case "weight_selection":
                return WeightSelectionSpec(name="weight_selection")
            case "random":
                return ScratchSpec(name="scratch")

    @property
    def tasks_without_teacher(self) -> tuple[Task, ...]:
        """Where the student takes neither weights nor tokens of a teacher: BiLSTMs, translation models."""
        return () if self.reads_weights else (*tasks_of("bilstm"), *tasks_of("encoder_decoder"))
