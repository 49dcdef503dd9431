from typing import Literal

from pydantic import Field

from app.domain.methods.card import MethodCard, Spec


class BiLstmSpec(Spec):
    """Distils the teacher into a bidirectional LSTM, on unlabelled text where there is some."""

    name: Literal["bilstm"]
    training: Literal["stagewise", "joint"] = Field(
        default="stagewise",
        description="Representations, then logits, then labels, each unfreezing from the top; or all at "
        "once.",
    )
    gradual_unfreezing: bool = Field(
        default=True, description="Whether a stage begins with its new layer alone and goes down from there."
    )
    teacher_layer: int | None = Field(
        default=None,
        ge=0,
        le=48,
        description="Whose states are learnt; 0: the embeddings; default: a middle one.",
    )
    soft_targets: Literal["logits", "labels"] = Field(
        default="logits", description="What is learnt on unlabelled text: logits, or the teacher's choice."
    )
    representation_loss: Literal["mse", "cosine", "kld"] = Field(
        default="mse", description="How far the projection is from the teacher's states."
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Of word embeddings, LSTM states and the projection, in training.",
    )


CARD = MethodCard(
    title="Distillation into a BiLSTM",
    papers=["https://arxiv.org/abs/1910.01769", "https://arxiv.org/abs/2004.05686"],
    when="When latency counts most, labels are few and unlabelled text of the same kind is plenty.",
    tasks=["text_classification", "token_classification"],
    data="labelled train and dev splits; unlabeled texts carry most of what is learnt",
)
