"""What a job will roughly cost."""

import math
from typing import Final

from pydantic import BaseModel

from app.domain.architectures import (
    BYTES_PER_PARAMETER,
    Architecture,
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderShape,
    ParameterCount,
)
from app.domain.documents import TrainingSpec
from app.domain.documents.plan import Estimate
from app.domain.methods import Spec
from app.domain.planning.advice import head_of
from app.domain.planning.epochs import most_epochs, planned_epochs
from app.domain.tasks import Head

_MASKED_SHARE: Final = 0.15  # of the words of a task that hides some


class TypicalRow(BaseModel):
    """The typical row of a data set."""

    tokens: float
    target_tokens: float = 0.0


def step_count(*, rows: int, training: TrainingSpec) -> int:
    """Optimiser steps of a job: a last, smaller batch of an epoch counts as one."""
    return _steps(planned_epochs(training), rows=rows, training=training)


def most_steps(*, rows: int, training: TrainingSpec) -> int:
    """Likewise, of a job whose quality on dev rises to the end."""
    return _steps(most_epochs(training), rows=rows, training=training)


def _steps(epochs: float, *, rows: int, training: TrainingSpec) -> int:
    return max(1, round(epochs * math.ceil(rows / training.batch_size)))


def estimate(
    student: Architecture,
    method: Spec,
    *,
    teacher: Architecture | None,
    head: Head,
    rows: int,
    row: TypicalRow,
    training: TrainingSpec,
    gflops: float,
    unlabeled: int = 0,
    scored: int = 0,
) -> Estimate:
    """A rough price: six operations for each product of a row's forward pass, at a given rate.

    A teacher that is learnt from runs forward once over the rows (two operations). Memory is four fp32 copies
    of what trains, one of the teacher and the activations of one batch.

    Args:
        student: what is made.
        method: how.
        teacher: of what; None where there is none.
        head: on both.
        rows: with answers.
        row: a typical one.
        training: epochs and batches.
        gflops: what the host is thought to sustain.
        unlabeled: rows without labels, used by methods that learn from a teacher's predictions.
        scored: rows whose scores take the place of these predictions.
    """
    learnt = learnt_rows(method, head, rows=rows, unlabeled=unlabeled)
    trained = teacher if method.trains_teacher and teacher is not None else student
    beside = method.extra_parameters(teacher.shape) if isinstance(teacher, EncoderArchitecture) else 0
    operations = 6 * _products(trained, head, row) * learnt * planned_epochs(training)
    weights = 4 * (_count(trained, head).total + beside)
    if teacher is not None:
        weights += _count(teacher, head).total
        if method.learns_from_outputs:
            operations += 2 * _products(teacher, head, row) * (rows + unlabeled - scored)
    batch = training.micro_batch_size or training.batch_size
    return Estimate(
        steps=step_count(rows=learnt, training=training),
        max_steps=most_steps(rows=learnt, training=training),
        seconds=operations / (gflops * 1e9),
        peak_memory_mb=(weights + batch * _activations(trained, head, row))
        * BYTES_PER_PARAMETER["fp32"]
        / 1e6,
        assumed_gflops=gflops,
    )


def learnt_rows(method: Spec, head: Head, *, rows: int, unlabeled: int) -> int:
    """Rows per epoch; for a distillation of translation the teacher's translations are added."""
    if not method.learns_from_outputs:
        return rows
    terms = method.distillation_terms
    if not head.record.writes or terms is None:
        return rows + unlabeled
    bitext = rows if terms.logits_weight < 1 else 0
    return bitext + (rows + unlabeled if terms.logits_weight > 0 else 0)


def _count(architecture: Architecture, head: Head) -> ParameterCount:
    return architecture.count(head=head_of(architecture, head))


def _answers(head: Head, row: TypicalRow) -> float:
    """How many predictions the head of an encoder makes for one row."""
    if head.record.masks_inputs:
        return _MASKED_SHARE * row.tokens
    return row.tokens if head.record.answering == "token" else 1.0


def _products(architecture: Architecture, head: Head, row: TypicalRow) -> float:
    """Multiply-adds of one row's forward pass, those of attention's scores left out."""
    count = _count(architecture, head)
    match architecture:
        case EncoderArchitecture():
            answer = count.head
            if head.record.answers_in_tokens:
                answer += architecture.vocabulary * architecture.shape.word_width
            runs = architecture.runs / architecture.stored_layers
            return count.encoder * runs * row.tokens + answer * _answers(head, row)
        case BiLstmArchitecture():
            return count.encoder * row.tokens + count.head * _answers(head, row)
        case EncoderDecoderArchitecture():
            word = count.decoder + architecture.vocabulary * architecture.shape.decoder.hidden
            return count.encoder * row.tokens + word * row.target_tokens


def _activations(architecture: Architecture, head: Head, row: TypicalRow) -> float:
    """Numbers kept of one row for the way back."""
    match architecture:
        case EncoderArchitecture():
            words = architecture.vocabulary * _answers(head, row) if head.record.answers_in_tokens else 0
            gated = architecture.shape.ffn if architecture.record.stack.layer.ffn_gate else 0
            return row.tokens * architecture.runs * (_of_layer(architecture.shape) + gated) + words
        case BiLstmArchitecture():
            return row.tokens * (
                16 * architecture.shape.hidden + architecture.shape.embedding + architecture.shape.projection
            )
        case EncoderDecoderArchitecture():
            t = architecture.shape
            decoder = 1.5 * t.decoder_layers * _of_layer(t.decoder) + architecture.vocabulary
            return row.tokens * t.encoder_layers * _of_layer(t.encoder) + row.target_tokens * decoder


def _of_layer(s: EncoderShape) -> int:
    return 10 * s.hidden + 2 * s.ffn
