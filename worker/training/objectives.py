"""What training makes small: losses over a network and a batch.

Shapes: B batch, T tokens, C classes, H teacher width, D student width.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from app.core.specs import DistillationTerms
from worker.data import Batch

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
        terms: DistillationTerms,
        *,
        teacher_logits: Callable[[Batch], Tensor],
        teacher_hidden: Callable[[Batch], Tensor] | None = None,
    ) -> None:
        """Build the loss.

        Args:
            terms: the temperature and the weights w and h.
            teacher_logits: batch -> (B, C).
            teacher_hidden: batch -> (B, T, D), in the student's width; needed where h > 0.
        """
        self._terms = terms
        self._teacher_logits = teacher_logits
        self._teacher_hidden = teacher_hidden

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        terms = self._terms
        output: Any = network(**batch.inputs, output_hidden_states=self._teacher_hidden is not None)
        logits = output.logits.float()
        soft = soft_label_loss(logits, self._teacher_logits(batch), terms.temperature)
        hard = functional.cross_entropy(logits, _labels(batch))
        loss = terms.logits_weight * soft + (1 - terms.logits_weight) * hard
        if self._teacher_hidden is not None:
            distance = hidden_state_loss(
                output.hidden_states[-1].float(), self._teacher_hidden(batch), batch.inputs["attention_mask"]
            )
            loss = loss + terms.hidden_weight * distance
        return loss


def _labels(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels
