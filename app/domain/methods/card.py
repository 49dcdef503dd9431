"""The description of a method, for clients that choose one."""

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from app.domain.tasks import TASKS, Task, tasks_of

SizeConstraint = Literal["compression_ratio", "max_parameters", "max_size_mb", "max_latency_ms", "shape"]

EmbeddingOption = Literal["vocabulary_size", "embedding_size"]
"""Members of a target that make the word table smaller."""


ENCODER_TASKS: Final[list[Task]] = tasks_of("encoder")
ALL_TASKS: Final[list[Task]] = list(TASKS)
LABELLED_TASKS: Final[list[Task]] = [task for task in TASKS if not TASKS[task].answers_in_vectors]
"""Those that can be learnt without a teacher."""


class MethodCard(BaseModel):
    """A method as ``GET /v1/methods`` shows it."""

    model_config = ConfigDict(frozen=True)

    title: str
    papers: list[str] = []
    when: str = Field(description="When to use it and when not.")
    tasks: list[Task] = Field(description="Supported tasks.")
    targets: list[SizeConstraint] = Field(
        default=list(get_args(SizeConstraint)),
        description="Supported size targets; empty for methods that keep the size.",
    )
    embedding_options: list[EmbeddingOption] = Field(
        default=list(get_args(EmbeddingOption)),
        description="Supported embedding options: a smaller vocabulary, or (except for translation) a "
        "factorised embedding.",
    )
    data: str = Field(
        default="labelled train and dev splits", description="Required and optional training data."
    )
    needs_head: bool = Field(
        default=True,
        description="Whether the teacher needs a trained head for the task, unless the data set has "
        "teacher_scores to learn from.",
    )

    @property
    def keeps_size(self) -> bool:
        return not self.targets
