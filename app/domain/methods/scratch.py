from typing import Literal

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec


class ScratchSpec(Spec):
    """Trains a shape from random weights on the labels alone."""

    name: Literal["scratch"]


CARD = MethodCard(
    title="Training from scratch",
    when="As a baseline: what the student's shape reaches without a teacher. A job without a teacher "
    "trains a translation model from scratch, including its vocabulary.",
    tasks=ALL_TASKS,
    needs_head=False,
)
