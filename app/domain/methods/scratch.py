from typing import Literal

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec


class ScratchSpec(Spec):
    """Trains a shape from random weights on the labels alone."""

    name: Literal["scratch"]


CARD = MethodCard(
    title="Training from scratch",
    when="As a control: what the student's shape reaches without the teacher. Without a teacher in the job "
    "it makes a translation model, vocabulary included.",
    tasks=ALL_TASKS,
    needs_head=False,
)
