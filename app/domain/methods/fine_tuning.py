from typing import ClassVar, Literal

from app.domain.methods.card import LABELLED_TASKS, MethodCard
from app.domain.methods.spec import Spec


class FineTuningSpec(Spec):
    """Trains a model together with a task head; the size stays the same."""

    name: Literal["fine_tuning"]

    card: ClassVar[MethodCard] = MethodCard(
        title="Fine-tuning",
        when="To train a teacher: adds a task head to an encoder and trains both, or continues training a "
        "translation model. The size stays the same.",
        tasks=LABELLED_TASKS,
        targets=[],
        embedding_options=[],
        needs_head=False,
    )
    is_compared: ClassVar[bool] = False
