"""What a job trains beside its student, only to be compared with it."""

from typing import Final, Literal

from app.domain.architectures import Architecture
from app.domain.methods import ScratchSpec, Spec, TfidfSpec
from app.domain.tasks import Task, tasks_of

ControlName = Literal["without_distillation", "from_scratch", "tfidf"]

CONTROLLED_TASKS: Final[tuple[Task, ...]] = tuple(tasks_of("tfidf"))
"""Whose jobs can train controls, and do if they do not say otherwise."""

CONTROL_STEPS: Final = 500
"""Of a control's training, at most: it costs a part of what the student does."""


def controls_of(method: Spec, teacher: Architecture | None, student: Architecture) -> dict[ControlName, Spec]:
    """What a job of a method can train beside its student, by name; none beside a control itself.

    The student's own shape is trained on labels alone: from the weights that it starts with itself where
    its method can do without the teacher's outputs, else, and where it has, from random ones.
    """
    if not method.trains_in_steps:
        return {}
    tfidf: dict[ControlName, Spec] = {"tfidf": TfidfSpec(name="tfidf")}
    if method.card.keeps_size or not (method.reads_weights or method.learns_from_outputs):
        return tfidf
    alone = None if teacher is None else method.without_outputs(teacher, student)
    if alone is None:
        return {"from_scratch": ScratchSpec(name="scratch"), **tfidf}
    return {"without_distillation": alone, **tfidf}
