from typing import ClassVar, Literal

from app.domain.methods.card import LABELLED_TASKS, MethodCard
from app.domain.methods.spec import Spec, StudentKind
from app.domain.tasks import Task, tasks_of


class ScratchSpec(Spec):
    """Trains a network of the given shape from random weights, on the labels only."""

    name: Literal["scratch"]

    card: ClassVar[MethodCard] = MethodCard(
        title="Training from scratch",
        when="As a baseline: what the student's shape reaches without a teacher. A job without a teacher "
        "trains a translation model from scratch, including its vocabulary.",
        tasks=LABELLED_TASKS,
        needs_head=False,
    )
    students: ClassVar[tuple[StudentKind, ...]] = ("same_family", "bilstm")
    reads_weights: ClassVar[bool] = False

    @property
    def tasks_without_teacher(self) -> tuple[Task, ...]:
        return tuple(tasks_of("encoder_decoder"))
