"""What each method is, for a client that chooses one."""

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from app.core.manifest import Task
from app.core.specs.methods import MethodSpec, Spec


class MethodCard(BaseModel):
    """A method as ``GET /v1/methods`` shows it."""

    model_config = ConfigDict(frozen=True)

    title: str
    paper: str | None = None
    when: str = Field(description="When to use it and when not.")
    tasks: list[Task] = ["text_classification"]
    data: Literal["labelled"] = Field(
        default="labelled", description="What the train and dev splits must be."
    )
    keeps_size: bool = Field(default=False, description="If so a job gives no target, else it must.")
    needs_head: bool = Field(default=True, description="Whether the teacher must already know the task.")


METHOD_CARDS: Final[dict[str, MethodCard]] = {
    "fine_tuning": MethodCard(
        title="Fine-tuning",
        when="To make a teacher: puts a head for the data set's labels on an encoder and trains both. "
        "It makes nothing smaller.",
        keeps_size=True,
        needs_head=False,
    ),
    "scratch": MethodCard(
        title="Training from scratch",
        when="As a control: what the student's shape reaches without the teacher.",
    ),
    "weight_copy": MethodCard(
        title="Weight subcloning",
        paper="https://arxiv.org/abs/2312.09299",
        when="When steps are few: the cheapest start from the teacher. Also the control for methods "
        "that learn what to take.",
    ),
    "distillation": MethodCard(
        title="Knowledge distillation",
        paper="https://arxiv.org/abs/1503.02531",
        when="When labelled texts are many: the student learns from the teacher's softened predictions. "
        "Also the control for methods that start from the teacher's weights.",
    ),
    "weight_squeezing": MethodCard(
        title="Weight Squeezing",
        paper="https://arxiv.org/abs/2010.06993",
        when="To carry over what the teacher knows with little data: the student's weights are learnt maps "
        "of the teacher's. Gated, it starts from a small pretrained model. A step costs more than a plain "
        "one; "
        "the deployed student costs nothing more.",
    ),
}

METHOD_SPECS: Final[dict[str, type[Spec]]] = {
    get_args(spec.model_fields["name"].annotation)[0]: spec for spec in get_args(get_args(MethodSpec)[0])
}
