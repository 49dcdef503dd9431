"""What a model can be asked to do, and what an answer consists of."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal[
    "text_classification",
    "text_regression",
    "token_classification",
    "masked_language_modeling",
    "translation",
]

PER_TOKEN_TASKS: Final[frozenset[Task]] = frozenset({"token_classification", "masked_language_modeling"})
"""Tasks whose networks answer for each token; the others' answer for a text, or write one."""

LABELLED_TASKS: Final[frozenset[Task]] = frozenset({"text_classification", "token_classification"})
"""Tasks that choose among named labels."""

SELECTING_METRICS: Final[dict[Task, tuple[str, ...]]] = {
    "text_classification": ("accuracy", "macro_f1", "matthews"),
    "text_regression": ("spearman", "pearson"),
    "token_classification": ("f1", "accuracy"),
    "masked_language_modeling": ("accuracy",),
    "translation": (),
}
"""By which a training can keep its best step, the main one first; of translation it is always the loss."""


class Head(BaseModel):
    """What lies on top of a network: the task and how many numbers one answer has."""

    model_config = ConfigDict(frozen=True)

    task: Task
    outputs: int = Field(ge=1, description="Labels, one number, or the words of the vocabulary.")

    @classmethod
    def of(cls, task: Task, *, labels: int, vocabulary: int) -> "Head":
        if task in LABELLED_TASKS:
            return cls(task=task, outputs=labels)
        return cls(task=task, outputs=1 if task == "text_regression" else vocabulary)
