"""What a job has to compute."""

import math
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderShape,
    ParameterCount,
    StaticArchitecture,
    TfidfArchitecture,
)
from app.domain.documents import TrainingSpec
from app.domain.methods import Spec
from app.domain.planning.advice import head_of
from app.domain.planning.steps import most_steps, step_count
from app.domain.tasks import Head

_MASKED_SHARE: Final = 0.15  # of the words of a task that hides some
_CALIBRATION_TOKENS: Final = 20_000
_QUESTION_TOKENS: Final = 18
"""Of a typical question, and special ones."""


class TypicalRow(BaseModel):
    """The typical row of a data set."""

    tokens: float
    target_tokens: float = 0.0


@dataclass(frozen=True)
class Workload:
    """A job, as far as what it takes depends on it."""

    student: Architecture
    """What is made."""
    method: Spec
    head: Head
    """On student and teacher."""
    rows: int
    """With answers."""
    row: TypicalRow
    training: TrainingSpec
    """With its epochs filled in."""
    teacher: Architecture | None = None
    """What is learnt from or inherits its head; None where there is none."""
    given: Architecture | None = None
    """The model that the job starts from, learnt from or not."""
    unlabeled: int = 0
    """Rows without labels, used by methods that learn from a teacher's predictions."""
    scored: int = 0
    """Rows whose scores take the place of these predictions."""
    dev: int = 0
    test: int = 0
    exports: int = 2
    """Files that are made of the student."""
    is_compared: bool = False
    """Whether the given model is measured beside the student."""
    is_timed: bool = False
    """Whether networks are timed to find the student."""

    has_controls: bool = False
    """Whether controls are trained beside the student."""

    @property
    def learnt_rows(self) -> int:
        """Of an epoch."""
        return learnt_rows(self.method, self.head, rows=self.rows, unlabeled=self.unlabeled)

    @property
    def steps(self) -> int:
        if not self.method.trains_in_steps:
            return 1
        return step_count(rows=self.learnt_rows, training=self.training)

    @property
    def most_steps(self) -> int:
        """If quality on dev rises to the end."""
        if not self.method.trains_in_steps:
            return 1
        return most_steps(rows=self.learnt_rows, training=self.training)

    @property
    def asked_rows(self) -> int:
        """Of which the teacher's predictions are learnt."""
        if self.teacher is None or not self.method.learns_from_outputs:
            return 0
        return max(0, self.rows + self.unlabeled - self.scored)

    @property
    def asked_tokens(self) -> int:
        """Tokens that a teacher is asked of one by one."""
        return self.student.vocabulary if isinstance(self.student, StaticArchitecture) else 0

    @property
    def is_reduced(self) -> bool:
        """Whether the teacher's vectors are brought to fewer dimensions first."""
        return (
            self.head.record.answers_in_vectors
            and self.given is not None
            and self.given.width > (self.student.width if self.asked_tokens else self.head.outputs)
        )

    @property
    def texts(self) -> int:
        """Of all splits."""
        return self.rows + self.unlabeled + self.dev + self.test

    @property
    def calibration_rows(self) -> float:
        """Of the sample on which a teacher is looked at before the training."""
        return min(self.rows, _CALIBRATION_TOKENS / max(1.0, self.row.tokens))

    @property
    def trained(self) -> Architecture:
        """What the first step trains."""
        return self.teacher if self.method.trains_teacher and self.teacher is not None else self.student

    @property
    def step_products(self) -> float:
        """Multiply-adds of the first step's forward pass."""
        return self.products(self.trained) * min(self.training.batch_size, self.learnt_rows)

    def count(self, architecture: Architecture) -> ParameterCount:
        return architecture.count(head=head_of(architecture, self.head))

    def layers(self, architecture: Architecture) -> int:
        """Runs of layers in a forward pass."""
        if isinstance(architecture, EncoderArchitecture):
            return architecture.runs
        if isinstance(architecture, StaticArchitecture):
            return 1
        return sum(stack.layers for stack in self.stacks(architecture)) or 2  # directions of an LSTM

    def stacks(self, architecture: Architecture) -> tuple[EncoderShape, ...]:
        """Of transformer layers."""
        if isinstance(architecture, (BiLstmArchitecture, TfidfArchitecture, StaticArchitecture)):
            return ()
        return architecture.shape.stacks

    def products(self, architecture: Architecture) -> float:
        """Multiply-adds of one row's forward pass, those of attention's scores left out."""
        count, row = self.count(architecture), self.row
        match architecture:
            case EncoderArchitecture():
                answer = count.head
                if self.head.record.answers_in_tokens:
                    answer += architecture.vocabulary * architecture.shape.word_width
                runs = architecture.runs / architecture.stored_layers
                return count.encoder * runs * row.tokens + answer * self._answers
            case BiLstmArchitecture():
                return count.encoder * row.tokens + count.head * self._answers
            case TfidfArchitecture():
                return 2 * row.tokens * self.head.outputs
            case StaticArchitecture(shape=v):
                return v.dimensions * row.tokens
            case EncoderDecoderArchitecture():
                word = count.decoder + architecture.vocabulary * architecture.shape.decoder.hidden
                return count.encoder * row.tokens + word * row.target_tokens

    def activations(self, architecture: Architecture) -> float:
        """Numbers kept of one row for the way back."""
        row = self.row
        match architecture:
            case EncoderArchitecture():
                words = architecture.vocabulary * self._answers if self.head.record.answers_in_tokens else 0
                gated = architecture.shape.ffn if architecture.record.stack.layer.ffn_gate else 0
                return row.tokens * architecture.runs * (_of_layer(architecture.shape) + gated) + words
            case BiLstmArchitecture(shape=b):
                return row.tokens * (16 * b.hidden + b.embedding + b.projection)
            case TfidfArchitecture():
                return 2 * row.tokens * self.head.outputs
            case StaticArchitecture(shape=v):
                return row.tokens * v.dimensions
            case EncoderDecoderArchitecture(shape=t):
                decoder = 1.5 * t.decoder_layers * _of_layer(t.decoder) + architecture.vocabulary
                return row.tokens * t.encoder_layers * _of_layer(t.encoder) + row.target_tokens * decoder

    @property
    def _answers(self) -> float:
        """How many predictions the head of an encoder makes for one row."""
        if self.head.record.masks_inputs:
            return _MASKED_SHARE * self.row.tokens
        return self.row.tokens if self.head.record.answers_for_tokens else 1.0


def learnt_rows(method: Spec, head: Head, *, rows: int, unlabeled: int) -> int:
    """Rows per epoch; for a distillation of translation the teacher's translations are added."""
    if not method.learns_from_outputs:
        return rows
    terms = method.distillation_terms
    if not head.record.writes or terms is None:
        return rows + unlabeled
    bitext = rows if terms.logits_weight < 1 else 0
    return bitext + (rows + unlabeled if terms.logits_weight > 0 else 0)


def windows_of(tokens: float, max_length: int) -> int:
    """In how many windows, of which neighbours share a quarter, a question's context is read.

    Args:
        tokens: of both together.
        max_length: of a window.
    """
    room = max(1, max_length - _QUESTION_TOKENS)
    left = tokens - max_length
    return 1 if left <= 0 else 1 + math.ceil(left / max(1, room - max_length // 4))


def _of_layer(s: EncoderShape) -> int:
    return 10 * s.hidden + 2 * s.ffn
