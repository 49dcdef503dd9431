from typing import ClassVar, Literal

from pydantic import Field

from app.domain.methods.card import MethodCard
from app.domain.methods.spec import Dimension, Spec, StudentKind
from app.domain.tasks import Task, tasks_of


class BiLstmSpec(Spec):
    """Distils the teacher into a bidirectional LSTM, using unlabeled text if present."""

    name: Literal["bilstm"]
    training: Literal["stagewise", "joint"] = Field(
        default="stagewise",
        description="`stagewise`: hidden states, then logits, then labels; `joint`: all at once.",
    )
    gradual_unfreezing: bool = Field(
        default=True,
        description="Whether each stage but the first begins with the top layer alone and adds those below.",
    )
    teacher_layer: int | None = Field(
        default=None,
        ge=0,
        le=48,
        description="Teacher layer whose hidden states are matched; 0: the embeddings; default: a middle "
        "layer.",
    )
    soft_targets: Literal["logits", "labels"] = Field(
        default="logits",
        description="Targets on unlabeled text: the teacher's logits, or its predicted labels.",
    )
    representation_loss: Literal["mse", "cosine", "kld"] = Field(
        default="mse",
        description="Distance between the projection and the teacher's hidden states. `mse`: squared; "
        "`cosine`: of directions; `kld`: of softmaxes.",
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Dropout rate of the embeddings, LSTM states and projection.",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Distillation into a BiLSTM",
        papers=["https://arxiv.org/abs/1910.01769", "https://arxiv.org/abs/2004.05686"],
        when="For the lowest latency, with few labels and plenty of unlabeled in-domain text.",
        tasks=tasks_of("bilstm"),
        data="labelled train and dev splits; most of the training signal comes from unlabeled texts",
    )
    students: ClassVar[tuple[StudentKind, ...]] = ("bilstm",)
    keeps: ClassVar[tuple[Dimension, ...]] = ("projection",)
    """It learns states of the teacher's width."""
    calibration_passes: ClassVar[float] = 0.4
    learns_from_outputs: ClassVar[bool] = True
    learns_from_states: ClassVar[bool] = True
    tasks_without_teacher: ClassVar[tuple[Task, ...]] = tuple(tasks_of("bilstm"))
    """It has an architecture of its own, and learns its tokens from the data."""

    @property
    def named_layers(self) -> dict[str, int]:
        return {} if self.teacher_layer is None else {"teacher_layer": self.teacher_layer}
