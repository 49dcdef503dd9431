"""What each task is in code: how its rows become tokens, which losses it has, how good answers are."""

from collections.abc import Mapping
from typing import Final

from app.domain.tasks import Task
from app.domain.tasks.record import Activation
from worker.tasks import (
    masked_language_modeling,
    multi_label_classification,
    question_answering,
    sentence_embedding,
    text_classification,
    text_regression,
    token_classification,
    translation,
)
from worker.tasks.implementation import TaskImplementation

IMPLEMENTATIONS: Final[Mapping[Task, TaskImplementation]] = {
    "text_classification": text_classification.IMPLEMENTATION,
    "text_regression": text_regression.IMPLEMENTATION,
    "multi_label_classification": multi_label_classification.IMPLEMENTATION,
    "token_classification": token_classification.IMPLEMENTATION,
    "question_answering": question_answering.IMPLEMENTATION,
    "masked_language_modeling": masked_language_modeling.IMPLEMENTATION,
    "translation": translation.IMPLEMENTATION,
    "sentence_embedding": sentence_embedding.IMPLEMENTATION,
}


def implementation_of(task: Task, activation: Activation | None = None) -> TaskImplementation:
    """Of a task whose outputs go through an activation."""
    if activation is None:
        return IMPLEMENTATIONS[task]
    assert task == "text_regression"
    return text_regression.SIGMOID_IMPLEMENTATION
