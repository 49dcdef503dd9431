from typing import Literal

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec


class FineTuningSpec(Spec):
    """Trains a task head on a model and the model with it; the size stays."""

    name: Literal["fine_tuning"]


CARD = MethodCard(
    title="Fine-tuning",
    when="To make a teacher: puts a head for the data set's task on an encoder and trains both, or goes on "
    "with a translation model. It makes nothing smaller.",
    tasks=ALL_TASKS,
    targets=[],
    embedding_options=[],
    needs_head=False,
)
