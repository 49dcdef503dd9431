"""What a student learns from the inside of its teacher: hidden states, first tokens, relations.

Shapes: B rows, T tokens, L matched layers, A relation heads, H teacher width, D student width.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.methods import DistillationTerms
from worker.data.batches import Batch
from worker.distillation.objectives import InnerTerm, hidden_state_loss
from worker.distillation.teacher_outputs import LAST, Output
from worker.distillation.teacher_signals import TeacherSignals
from worker.networks.layer_views import AttentionView
from worker.networks.views import encoder_view


class FeatureTerms:
    """What the terms on the inside of two networks look at, and these terms."""

    def __init__(
        self, terms: DistillationTerms, teacher: EncoderArchitecture, student: EncoderArchitecture
    ) -> None:
        """Find what there is to compare.

        Args:
            terms: at least one of those on hidden states, first tokens or relations has a weight.
            teacher: compared with.
            student: of the same family.
        """
        self._terms = terms
        self._teacher = teacher
        self._student = student
        self._matched = patient_states(terms.patient_layers, teacher=teacher.runs, student=student.runs)

    @property
    def outputs(self) -> list[Output]:
        """The teacher's hidden states that the terms need."""
        outputs = []
        if self._terms.hidden_weight:
            outputs.append(Output(LAST))
        if self._terms.patient_weight:
            outputs += [Output(state, of="first") for state in dict.fromkeys(self._matched)]
        if self._terms.relation_weight:
            outputs.append(Output(self._teacher.runs - 1))
        return outputs

    @property
    def compares_narrower_states(self) -> bool:
        """Whether terms compare states of two widths."""
        is_narrower = self._student.shape.hidden < self._teacher.shape.hidden
        return is_narrower and bool(self._terms.hidden_weight or self._terms.patient_weight)

    def terms(
        self, signals: TeacherSignals, network: nn.Module, projection: Tensor | None
    ) -> list[tuple[float, InnerTerm]]:
        """The terms, each with its weight.

        Args:
            signals: what the teacher says.
            network: the teacher, on the device.
            projection: (H, D) from the teacher's states to the student's; None: as they are.
        """
        terms, inner = self._terms, list[tuple[float, InnerTerm]]()
        if terms.hidden_weight:
            inner.append((terms.hidden_weight, HiddenTerm(signals, projection)))
        if terms.patient_weight and self._matched:
            inner.append((terms.patient_weight, PatientTerm(signals, self._matched, projection)))
        if terms.relation_weight:
            term = RelationTerm(
                signals,
                state=self._teacher.runs - 1,
                teacher=encoder_view(network, self._teacher).layers[-1].attention,
                student=self._student,
                heads=relation_heads(terms.relation_heads, self._teacher.shape, self._student.shape),
            )
            inner.append((terms.relation_weight, term))
        return inner


def patient_loss(first_s: Tensor, first_t: Tensor) -> Tensor:
    """Mean squared distance of first-token states of length 1 (Sun et al., 2019, their equation 7).

    Args:
        first_s: (B, L, D).
        first_t: (B, L, D), mapped to the student's width.

    Returns:
        Scalar, mean over rows, layers and dimensions, as in the authors' code; the paper's equation sums over
        layers and dimensions.
    """
    return functional.mse_loss(functional.normalize(first_s, dim=-1), functional.normalize(first_t, dim=-1))


def relation_loss(vectors_s: Tensor, vectors_t: Tensor, mask: Tensor, *, heads: int) -> Tensor:
    """KL(teacher || student) of how tokens relate to one another (MiniLMv2, Wang et al., 2021).

    Queries (or keys, or values) of all heads are cut anew into relation heads; how much a token relates to
    the others is the softmax of its scaled products with them. So neither widths nor heads need to match.

    Args:
        vectors_s: (B, T, D); D divides by ``heads``.
        vectors_t: (B, T, H); H divides by ``heads``.
        mask: (B, T), 1 where there is a token.
        heads: A.

    Returns:
        Scalar, mean over relation heads and the tokens that are there, in nats.
    """
    there = mask.bool()
    relations_s, relations_t = (_relations(v, there, heads) for v in (vectors_s, vectors_t))  # (B, A, T, T)
    divergence = functional.kl_div(relations_s, relations_t, reduction="none", log_target=True).sum(-1)
    return (divergence * there[:, None]).sum() / (there.sum() * heads)


def patient_states(kind: Literal["skip", "last"], *, teacher: int, student: int) -> list[int]:
    """The teacher's hidden state that each layer of the student but its last is to match.

    ``skip`` of 12 layers: 4 and 8 for a student of 3, 3, 6 and 9 for one of 4; ``last`` 10 and 11; 9 to 11.

    Args:
        kind: evenly spaced, or the last ones.
        teacher: layers that it runs.
        student: layers that it runs; of one there is nothing to match.

    Returns:
        Indices into hidden states, where 0 are the embeddings.
    """
    if kind == "skip":
        return [max(1, i * teacher // student) for i in range(1, student)]
    return [max(1, teacher - student + i) for i in range(1, student)]


def relation_heads(asked: int | None, teacher: EncoderShape, student: EncoderShape) -> int:
    """As many as asked for, else the most that divide both widths, up to the teacher's heads."""
    if asked is not None:
        return asked
    common = math.gcd(teacher.hidden, student.hidden)
    return max(heads for heads in range(1, teacher.heads + 1) if common % heads == 0)


class HiddenTerm:
    """Distance of last hidden states."""

    def __init__(self, signals: TeacherSignals, projection: Tensor | None) -> None:
        """``projection``, (H, D), leads from the teacher's states to the student's, None: the same."""
        self._teaching = signals
        self._projection = projection

    def __call__(self, _: nn.Module, states: Sequence[Tensor], batch: Batch) -> Tensor:
        hidden_t = _projected(self._teaching.states(batch, LAST), self._projection)
        loss = hidden_state_loss(states[-1].float(), hidden_t, batch.inputs["attention_mask"])
        return batch.token_weight * loss


class PatientTerm:
    """Distance of first-token states of matched layers."""

    def __init__(self, signals: TeacherSignals, matched: Sequence[int], projection: Tensor | None) -> None:
        """Build the term.

        Args:
            signals: the teacher.
            matched: the state of the teacher for each layer of the student but its last.
            projection: (H, D) from the teacher's states to the student's; None: the same.
        """
        self._teaching = signals
        self._matched = matched
        self._projection = projection

    def __call__(self, _: nn.Module, states: Sequence[Tensor], batch: Batch) -> Tensor:
        first_s = torch.stack([state[:, 0] for state in states[1:-1]], dim=1)  # (B, L, D)
        first_t = torch.stack([self._target(batch, state) for state in self._matched], dim=1)
        return batch.row_weight * patient_loss(first_s.float(), first_t)

    def _target(self, batch: Batch, state: int) -> Tensor:
        return _projected(self._teaching.first_states(batch, state), self._projection)


class RelationTerm:
    """Relations among queries, among keys and among values of the last layers, the three alike.

    They are made again from the state below the last layer: of a teacher that state alone has to be kept,
    a third of what they would take.
    """

    def __init__(
        self,
        signals: TeacherSignals,
        *,
        state: int,
        teacher: AttentionView,
        student: EncoderArchitecture,
        heads: int,
    ) -> None:
        """Build the term.

        Args:
            signals: the teacher's states.
            state: which of them lies below its last layer.
            teacher: what makes its queries, keys and values of it.
            student: the layout of the networks that learn.
            heads: of the relations.
        """
        self._teaching = signals
        self._state = state
        self._teacher = teacher
        self._student = student
        self._heads = heads

    def __call__(self, network: nn.Module, states: Sequence[Tensor], batch: Batch) -> Tensor:
        below_t, mask = self._teaching.states(batch, self._state), batch.inputs["attention_mask"]
        own = encoder_view(network, self._student).layers[-1].attention
        losses = []
        with torch.no_grad():
            read_t = self._teacher.reads(below_t)
        read_s = own.reads(states[-2])
        for part_s, part_t in zip(own.projections, self._teacher.projections, strict=True):
            with torch.no_grad():
                vectors_t = part_t.module(read_t)
            vectors_s = part_s.module(read_s)
            losses.append(relation_loss(vectors_s, vectors_t, mask, heads=self._heads))
        return batch.token_weight * torch.stack(losses).mean()


def _projected(states: Tensor, projection: Tensor | None) -> Tensor:
    """(…, H) -> (…, D)."""
    return states if projection is None else states @ projection


def _relations(vectors: Tensor, there: Tensor, heads: int) -> Tensor:
    """Log-softmax over the tokens that are there, (B, A, T, T), of vectors (B, T, A r)."""
    batch, tokens, _ = vectors.shape
    parts = vectors.float().view(batch, tokens, heads, -1).transpose(1, 2)  # (B, T, A r) -> (B, A, T, r)
    with torch.autocast(vectors.device.type, enabled=False):  # a softmax feels what bf16 rounds off
        products = parts @ parts.mT / math.sqrt(parts.shape[-1])  # (B, A, T, T)
    # Far below any product, yet finite: what is not there has a share of 0 in both, and a difference.
    shares: Tensor = products.masked_fill(~there[:, None, None], -1e9).log_softmax(-1)
    return shares
