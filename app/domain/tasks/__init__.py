"""What a model can be asked to do, and what an answer consists of.

A module of this package that has a ``RECORD`` is a task: nothing lists them.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from app.domain.tasks.record import Activation, NetworkKind, TaskRecord


def _records() -> Iterator[tuple[str, TaskRecord]]:
    for module in pkgutil.iter_modules(__path__):
        if module.name != "record":
            yield module.name, importlib.import_module(f"{__name__}.{module.name}").RECORD


TASKS: Final[Mapping[str, TaskRecord]] = dict(_records())
"""By name."""

SELECTING_METRICS: Final = tuple(
    dict.fromkeys(metric for record in TASKS.values() for metric in record.selecting_metrics)
)
"""Those of all tasks."""

if TYPE_CHECKING:
    Task: TypeAlias = str
else:  # a type checker cannot know which modules there are
    Task = Literal[tuple(TASKS)]


def tasks_of(kind: NetworkKind) -> list[Task]:
    """What networks of a kind can do."""
    return [task for task, record in TASKS.items() if kind in record.networks]


def activation_keys(activation: Activation | None) -> dict[str, Any]:
    """What a ``config.json`` says of what one output goes through, to transformers and CrossEncoder.

    Without a problem type, transformers' pipeline applies a sigmoid as well.
    """
    name = "torch.nn.modules.activation.Sigmoid" if activation else "torch.nn.modules.linear.Identity"
    return {
        "problem_type": None if activation else "regression",
        "sentence_transformers": {"activation_fn": name},
    }


class Head(BaseModel):
    """What lies on top of a network: the task and how many numbers one answer has."""

    model_config = ConfigDict(frozen=True)

    task: Task
    outputs: int = Field(ge=1, description="Labels, one number, words of the vocabulary, or dimensions.")

    @classmethod
    def of(cls, task: Task, *, labels: int, vocabulary: int, dimensions: int = 0) -> "Head":
        """With so many labels, words, or dimensions of a vector, whichever the task's answers consist of."""
        outputs = TASKS[task].output_count(labels=labels, vocabulary=vocabulary, dimensions=dimensions)
        return cls(task=task, outputs=outputs)

    @property
    def record(self) -> TaskRecord:
        return TASKS[self.task]
