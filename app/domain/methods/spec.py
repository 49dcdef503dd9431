"""What a client asks of a method, and what planning must know of the method."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from app.domain.architectures import Architecture, EncoderShape, EncoderTrait, LayerUse
from app.domain.methods.card import MethodCard
from app.domain.methods.terms import DistillationTerms, Settings
from app.domain.tasks import Task

StudentKind = Literal["same_family", "bilstm", "tfidf", "static"]
"""A student of the teacher's architecture, or on its tokens a BiLSTM, TF-IDF or a vector for each."""

Dimension = Literal["layers", "hidden", "heads", "head_dim", "ffn", "projection"]
"""Of a shape. ``projection`` is that of a BiLSTM, and the teacher's counterpart of it is ``hidden``."""

TranslatorSearch = Literal["both_stacks", "decoder_first"]
"""Which smaller translation models a budget chooses among; see ``planning/search_space.py``."""

TEACHER: Final = "teacher"
"""The role of the model that a job starts from."""


class ModelInput(NamedTuple):
    """A registered model that a job needs, and what for."""

    role: str
    model_id: str
    pointer: str
    """Where the body of a job names it."""


class TrainingPhase(NamedTuple):
    """A stretch of a training, as far as its steps differ in cost from others."""

    share: float
    """Of all steps."""
    generates: bool = False
    """Whether each step makes the student's weights of the teacher's."""
    narrows: bool = False
    """Whether what runs is the teacher at first and the student at the end."""
    refits: int = 0
    """How many times, at most, what stays of a network that narrows is fitted to make up for what goes."""


class Spec(Settings):
    """What a client asks of one method, by its ``name``, and the method's traits.

    Planning, estimates, jobs and the worker ask the traits and never which method it is. The defaults are
    those of a method that starts from the weights of a transformer and learns from labels. A property is a
    trait that settings may decide; where they do not, a class variable takes its place.
    """

    name: str

    card: ClassVar[MethodCard]

    divides_depth: ClassVar[bool] = False
    """Whether the student's depth must divide the teacher's: each layer is made of a group."""
    factorises: ClassVar[bool] = False
    """Whether it makes products of two matrices, of a rank below the teacher's widths."""
    translator_search: ClassVar[TranslatorSearch] = "both_stacks"
    trains_teacher: ClassVar[bool] = False
    """Whether the teacher itself trains, and becomes small only on the way."""
    trains_in_steps: ClassVar[bool] = True
    """Whether it goes through the data in epochs; else it solves for its student, whatever the seed."""
    is_compared: ClassVar[bool] = True
    """Whether its student is measured against the teacher."""
    calibration_passes: ClassVar[float] = 0
    """How many times as long as a pass of the teacher over the calibration text its preparations take."""
    needs_dev_outputs: ClassVar[bool] = False
    """Whether it compares a student with the teacher's outputs on dev, and cannot do without."""

    @property
    def tasks_without_teacher(self) -> tuple[Task, ...]:
        """Tasks for which it makes a first model of nothing but data, teachers' scores among them."""
        return ()

    @property
    def qualified_name(self) -> str:
        """Its name in messages, with the setting that decides what it keeps."""
        return self.name

    @property
    def students(self) -> tuple[StudentKind, ...]:
        """What it can make of an encoder; a budget chooses among the first kind."""
        return ("same_family",)

    @property
    def keeps(self) -> tuple[Dimension, ...]:
        """The dimensions in which the student equals its teacher."""
        return ()

    @property
    def other_keeping(self) -> str:
        """For messages: which setting keeps another dimension in place of one of these; may be empty."""
        return ""

    @property
    def reads_weights(self) -> bool:
        """Whether it takes the teacher's weights from where a plain transformer has them."""
        return True

    @property
    def unsupported_traits(self) -> Mapping[EncoderTrait, str]:
        """What an encoder's family may have that it cannot start from, each with the reason."""
        return {}

    @property
    def named_layers(self) -> dict[str, int]:
        """Layers of the teacher that settings name, by setting; 0 is the embeddings."""
        return {}

    @property
    def distillation_terms(self) -> DistillationTerms | None:
        """How the teacher's outputs enter the loss, where they do by the common terms."""
        return None

    @property
    def weighs_by_labels(self) -> bool:
        """Whether the labels' loss decides what it keeps of the teacher."""
        return False

    @property
    def learns_from_outputs(self) -> bool:
        """Whether the teacher runs over the data, unlabeled rows included, and is learnt from."""
        return self.distillation_terms is not None

    @property
    def learns_from_states(self) -> bool:
        """Whether hidden states of a teacher's network are learnt from, too."""
        return self.distillation_terms is not None and bool(self.distillation_terms.state_weights)

    def without_outputs(self, teacher: Architecture, student: Architecture) -> "Spec | None":  # noqa: ARG002 - few need to know
        """What makes the same student of labels alone; None where it does so itself, or cannot."""
        return None

    def with_scores(self) -> "Spec":
        """As it is meant where the data has teachers' scores, as far as settings do not say otherwise."""
        return self

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """The models that it needs beside the teacher."""
        return ()

    @property
    def shape_role(self) -> str | None:
        """The role of the input whose shape the student has; None: the target decides."""
        return None

    def layer_schedule(self, layers: int) -> tuple[LayerUse, ...] | None:  # noqa: ARG002 - for all depths
        """In which order a student of so many layers runs them; None: once each."""
        return None

    @property
    def phases(self) -> tuple[TrainingPhase, ...]:
        """The stretches of its training that differ in cost, in their order."""
        return (TrainingPhase(1.0),)

    def generating_products(self, teacher: EncoderShape, student: EncoderShape, size: float) -> float:  # noqa: ARG002 - none, whatever they are
        """Multiply-adds by which a step makes the layers of a stack of the teacher's, and learns to.

        ``size`` lies between the student's, 0, and the teacher's, 1, where a network narrows.
        """
        return 0.0

    def refitting_products(self, teacher: EncoderShape, student: EncoderShape, size: float) -> float:  # noqa: ARG002 - none, whatever they are
        """Multiply-adds, in full precision, of fitting once what stays of a stack."""
        return 0.0

    def extra_parameters(self, teacher: EncoderShape) -> int:  # noqa: ARG002 - none, whatever the teacher
        """What trains beside the network and is folded away at the end."""
        return 0


class DistillingSpec(Spec):
    """A method in whose loss a teacher may have terms."""

    distillation: DistillationTerms | None = Field(
        default=None, description="Distillation terms of the loss; default: labels only."
    )

    @property
    def distillation_terms(self) -> DistillationTerms | None:
        return self.distillation

    def without_outputs(self, teacher: Architecture, student: Architecture) -> Spec | None:  # noqa: ARG002 - it starts alike
        if self.distillation is None or self.trains_teacher:
            return None
        return self.model_copy(update={"distillation": None})

    def with_scores(self) -> "Spec":
        """Learning from them, unless ``distillation`` was set, be it to null."""
        if self.distillation is not None or "distillation" in self.model_fields_set:
            return self
        return self.model_copy(update={"distillation": DistillationTerms()})


def mapping_products(teacher: EncoderShape, student: EncoderShape) -> float:
    """Multiply-adds of the maps L and R around each matrix W of a layer, forward and back.

    L W is made and learnt from with two products of its size, (L W) R with three: W itself stays.
    """
    wide, narrow = teacher.hidden, student.hidden
    left = 4 * narrow * wide**2 + student.ffn * teacher.ffn * wide + narrow * teacher.ffn * wide
    right = 4 * narrow**2 * wide + student.ffn * narrow * wide + narrow * teacher.ffn * student.ffn
    return 2.0 * left + 3.0 * right
