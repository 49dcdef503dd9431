"""What training makes small: losses over a network and a batch.

Shapes: B batch, T tokens, C classes, H teacher width, D student width.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from worker.training.data import Batch

Objective = Callable[[nn.Module, Batch], Tensor]
"""A scalar, mean over the rows of the batch."""


def label_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the labels, in nats."""
    return functional.cross_entropy(network(**batch.inputs).logits.float(), _labels(batch))


def soft_label_loss(logits_s: Tensor, logits_t: Tensor, temperature: float) -> Tensor:
    """T² KL(teacher || student) of softened distributions (Hinton et al., 2015).

    Args:
        logits_s: student logits, (B, C), unnormalised.
        logits_t: teacher logits, (B, C); no gradient flows through.
        temperature: > 0; gradients shrink with its square, hence the factor T².

    Returns:
        Scalar, mean over B ("batchmean"), in nats.
    """
    return temperature**2 * functional.kl_div(
        functional.log_softmax(logits_s / temperature, dim=-1),
        functional.log_softmax(logits_t / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )


def hidden_state_loss(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Mean squared distance of hidden states over the tokens that are there.

    Args:
        hidden_s: (B, T, D).
        hidden_t: (B, T, D), the teacher's states already mapped to the student's width.
        mask: (B, T), 1 where there is a token.

    Returns:
        Scalar, mean over tokens and dimensions.
    """
    weight = mask.unsqueeze(-1)  # (B, T, 1)
    squares = (hidden_s - hidden_t).square() * weight
    return squares.sum() / (weight.sum() * hidden_s.shape[-1])


class DistillationLoss:
    """(1 - w) CE + w T² KL + h MSE, against teacher outputs that were computed beforehand."""

    def __init__(
        self,
        *,
        temperature: float,
        logits_weight: float,
        teacher_logits: Callable[[Batch], Tensor],
        hidden_weight: float = 0.0,
        teacher_hidden: Callable[[Batch], Tensor] | None = None,
    ) -> None:
        """Build the loss.

        Args:
            temperature: softens both distributions.
            logits_weight: w.
            teacher_logits: batch -> (B, C).
            hidden_weight: h.
            teacher_hidden: batch -> (B, T, D), in the student's width; needed where h > 0.
        """
        self._temperature = temperature
        self._logits_weight = logits_weight
        self._teacher_logits = teacher_logits
        self._hidden_weight = hidden_weight
        self._teacher_hidden = teacher_hidden

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        output: Any = network(**batch.inputs, output_hidden_states=self._teacher_hidden is not None)
        logits = output.logits.float()
        loss = self._logits_weight * soft_label_loss(logits, self._teacher_logits(batch), self._temperature)
        if self._logits_weight < 1:
            loss = loss + (1 - self._logits_weight) * functional.cross_entropy(logits, _labels(batch))
        if self._teacher_hidden is not None:
            distance = hidden_state_loss(
                output.hidden_states[-1].float(), self._teacher_hidden(batch), batch.inputs["attention_mask"]
            )
            loss = loss + self._hidden_weight * distance
        return loss


def _labels(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels
