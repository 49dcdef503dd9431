"""What lies on an encoder: kinds of heads, which task has which, and their tensors."""

from dataclasses import dataclass
from typing import Final

from app.domain.architectures.tensors import Shapes, linear, norm
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import HeadKind

HEAD_KINDS: Final[dict[Task, HeadKind]] = {
    task: record.head for task, record in TASKS.items() if record.head is not None
}
"""The head of an encoder for each of its tasks."""

CLASS_SUFFIXES: Final[dict[HeadKind | None, str]] = {
    "text": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "word": "ForMaskedLM",
    "vector": "Model",
    None: "Model",
}
"""How the names of a family's classes end, by the head on top; what pools states is no class of theirs."""


def head_kind(task: Task) -> HeadKind:
    """The kind of head for a task.

    Raises:
        ValueError: the task is none of an encoder.
    """
    if task not in HEAD_KINDS:
        raise ValueError(f"an encoder-only model does not support {task}")
    return HEAD_KINDS[task]


@dataclass(frozen=True)
class HeadModules:
    """The modules of one kind of head."""

    output: str
    """Gives the logits."""
    dense: str | None = None
    """The layer between the states and the output."""
    norm: str | None = None
    """Between the dense layer and the output."""
    biases: bool = True
    """Whether these two have biases."""
    bias: str = ""
    """The tensor of the output's bias, where its matrix is the word table; else empty."""
    steps: tuple[str, ...] = ()
    """The modules that make words of states, in the order they run in."""

    @property
    def is_tied(self) -> bool:
        """Whether the output's matrix is the word table."""
        return bool(self.bias)

    def tensors(self, *, states: int, features: int, outputs: int) -> Shapes:
        """Of the head alone.

        Args:
            states: width of what it reads.
            features: width of what its output reads.
            outputs: numbers of an answer.
        """
        shapes: Shapes = {}
        if self.dense is not None:
            shapes |= linear(self.dense, features, states, bias=self.biases)
        if self.norm is not None:
            shapes |= norm(self.norm, features, bias=self.biases)
        return shapes | ({self.bias: (outputs,)} if self.is_tied else linear(self.output, outputs, features))

    def copies(self, words: str) -> dict[str, str]:
        """Tensors that may be stored a second time, and which they repeat, given the name of the words."""
        if not self.is_tied:
            return {}
        copies = {f"{self.output}.weight": f"{words}.weight", f"{self.output}.bias": self.bias}
        return {copy: original for copy, original in copies.items() if copy != original}


VECTOR_HEAD: Final = HeadModules(output="projection")
"""Of every family: pooled states are projected, by the identity where a model has no projection."""
