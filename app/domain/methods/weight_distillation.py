from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from app.domain.architectures import EncoderShape, EncoderTrait
from app.domain.methods.card import ALL_TASKS, MethodCard
from app.domain.methods.spec import DistillingSpec, TrainingPhase, TranslatorSearch, mapping_products
from app.domain.methods.terms import DistillationTerms


class WeightDistillationSpec(DistillingSpec):
    """Generates the student's weights from groups of adjacent teacher layers, then trains them (2021)."""

    name: Literal["weight_distillation"]
    initial_generator: Literal["select", "xavier"] = Field(
        default="select",
        description="Initial generator. `select`: copies selected weights of the teacher; `xavier`: random, "
        "as in the paper's code.",
    )
    generator_ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Fraction of steps that train the generator; the rest train the generated weights.",
    )
    distillation: DistillationTerms | None = Field(
        default_factory=DistillationTerms, description="Distillation terms of the loss; null: labels only."
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Weight Distillation",
        papers=["https://arxiv.org/abs/2009.09152"],
        when="For translation with a deep encoder and a shallow or narrow decoder; also for encoders. The "
        "teacher's depth must be a multiple of the student's.",
        tasks=ALL_TASKS,
        embedding_options=["vocabulary_size"],
    )
    divides_depth: ClassVar[bool] = True
    translator_search: ClassVar[TranslatorSearch] = "decoder_first"
    unsupported_traits: ClassVar[Mapping[EncoderTrait, str]] = {
        "shared_layers": "it generates each layer from a group of different ones",
        "unlike_layers": "it generates each layer from a group of those beside one another",
    }

    calibration_passes: ClassVar[float] = 2

    @property
    def phases(self) -> tuple[TrainingPhase, ...]:
        ratio = self.generator_ratio
        return (TrainingPhase(ratio, generates=True), TrainingPhase(1 - ratio))

    def generating_products(self, teacher: EncoderShape, student: EncoderShape, size: float) -> float:  # noqa: ARG002 - it has the student's shape from the start
        group = teacher.layers / student.layers
        return student.layers * (1 + 0.2 * group) * mapping_products(teacher, student)
