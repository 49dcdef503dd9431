"""A list of layers as the maps see it: the teacher's, the student's, and what one keeps of the other.

Shapes: D and d are the teacher's and student's width, F and f their ffn; h heads of k and j dimensions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.domain.architectures import (
    Architecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderShape,
)
from worker.networks.anatomy import ANATOMIES, MARIAN, Stack
from worker.transfer.selection import Selection, StackSelections


@dataclass(frozen=True)
class Attention:
    """The roles of one attention's parts."""

    query: str
    key: str
    value: str
    output: str
    norm: str
    reads_encoder: bool = False


SELF = Attention("query", "key", "value", "attention_output", "attention_norm")
CROSS = Attention("cross_query", "cross_key", "cross_value", "cross_output", "cross_norm", reads_encoder=True)


def attentions(stack: Stack) -> list[Attention]:
    """In the order in which a layer runs them."""
    return [SELF, CROSS] if stack.layer.cross_query else [SELF]


@dataclass(frozen=True)
class StackView:
    """One list of layers."""

    stack: Stack
    teacher: EncoderShape
    student: EncoderShape
    selection: Selection
    memory: Tensor
    """The residual dimensions kept of the encoder, which attention to it reads; of an encoder, its own."""
    memory_width: int
    """D of the encoder."""

    def name(self, layer: int, role: str) -> str:
        """Of a student's matrix."""
        return f"{self.stack.part_name(layer, role)}.weight"

    def weight(self, teacher: nn.Module, layer: int, role: str) -> Tensor:
        """The whole teacher matrix in the place of a student's."""
        return self.stack.linear(teacher, self.selection.layers[layer], role).weight.detach()

    def kept_weight(self, teacher: nn.Module, layer: int, role: str, attention: Attention) -> Tensor:
        """The teacher matrix of an attention, of the heads that the student has."""
        matrix, kept = self.weight(teacher, layer, role), self.kept_heads(layer, attention)
        return matrix[:, kept] if role == attention.output else matrix[kept]

    def kept_heads(self, layer: int, attention: Attention) -> Tensor:
        """Flat indices (h k,) into the teacher's concatenated heads."""
        heads = self.selection.cross_heads if attention.reads_encoder else self.selection.heads
        width = self.teacher.head_dim
        within = torch.arange(width, device=heads[layer].device)
        return (heads[layer][:, None] * width + within).flatten()

    def head_selector(self, layer: int, attention: Attention) -> Tensor:
        """(h, j, k): the kept dimensions within each kept head."""
        dims = self.selection.cross_head_dims if attention.reads_encoder else self.selection.head_dims
        eye = torch.eye(self.teacher.head_dim, device=dims[layer].device)
        return eye[dims[layer]]

    def residual_selector(self) -> Tensor:
        """(d, D)."""
        return _rows_of_identity(self.selection.residual, self.teacher.hidden)

    def memory_selector(self) -> Tensor:
        """(d, D) of the encoder."""
        return _rows_of_identity(self.memory, self.memory_width)

    def neuron_selector(self, layer: int) -> Tensor:
        """(f, F)."""
        return _rows_of_identity(self.selection.neurons[layer], self.teacher.ffn)


def views_of(
    teacher: Architecture, student: Architecture, selection: Selection | StackSelections
) -> dict[str, StackView]:
    """The lists of layers of a network, those that others read first."""
    match teacher, student, selection:
        case EncoderArchitecture(shape=ours), EncoderArchitecture(shape=theirs), Selection():
            stack = ANATOMIES[teacher.family]
            view = StackView(stack, ours, theirs, selection, selection.residual, ours.hidden)
            return {"encoder": view}
        case EncoderDecoderArchitecture(shape=whole), EncoderDecoderArchitecture(
            shape=small
        ), StackSelections():
            memory, width = selection.encoder.residual, whole.hidden
            return {
                "encoder": StackView(
                    MARIAN.encoder, whole.encoder, small.encoder, selection.encoder, memory, width
                ),
                "decoder": StackView(
                    MARIAN.decoder, whole.decoder, small.decoder, selection.decoder, memory, width
                ),
            }
    raise TypeError(f"no maps from {teacher.family} to {student.family}")


def _rows_of_identity(indices: Tensor, size: int) -> Tensor:
    return torch.eye(size, device=indices.device)[indices]
