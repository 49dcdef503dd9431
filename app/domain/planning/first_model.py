"""The architecture of a job without a teacher: its vocabulary will be made of the data."""

from collections.abc import Sequence
from typing import Final

from app.domain.architectures import (
    BYTES_PER_PARAMETER,
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    TfidfArchitecture,
    TfidfShape,
)
from app.domain.documents import Target
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS, Spec
from app.domain.planning.constraints import require_embedding, with_embedding
from app.domain.planning.search_space import numbers_of_terms, published_bilstms
from app.domain.tasks import Head

_POINTER: Final = "#/target"
_NEW_VOCABULARY: Final = 8_000
_LEAST_NEW_VOCABULARY: Final = 256 + 3
"""A new tokenizer's bytes, which leave no text unknown, and its special tokens."""
_NEW_POSITIONS: Final = 512
_NEW_PROJECTION: Final = 256
"""Of a BiLSTM that has no teacher's states to learn."""


def first_model(method: Spec, target: Target | None, head: Head) -> Architecture:
    """What a method makes of nothing but data.

    Raises:
        InvalidRequest: it cannot do without a teacher, or the target does not say what is to be made.
    """
    if head.task not in method.tasks_without_teacher:
        able = [
            name
            for name, spec in METHOD_SPECS.items()
            if head.task in spec.card.tasks and head.task in spec(name=name).tasks_without_teacher
        ]
        others = f" Methods for {head.task} that need none: {', '.join(able)}." if able else ""
        raise InvalidRequest(
            "teacher_required",
            f"{method.name} on {head.task} needs a teacher, whose weights or architecture and tokenizer the "
            "student takes. Set teacher to the id of a registered model; where the data set has "
            f"teacher_scores to learn from, it need not know the task.{others}",
            pointer="#/teacher",
            methods=able,
        )
    if "encoder_decoder" in head.record.networks:
        return _translator(method, target)
    if method.students[0] == "tfidf":
        return _tfidf(method, target, head)
    return _bilstm(method, target, head)


def _translator(method: Spec, target: Target | None) -> Architecture:
    if target is None or not isinstance(target.shape, EncoderDecoderShape):
        raise _shape_required("encoder_layers, decoder_layers, hidden, heads and ffn", target)
    require_embedding(None, method, target)
    return EncoderDecoderArchitecture(
        shape=target.shape, vocabulary=_vocabulary(target), positions=_NEW_POSITIONS
    )


def _bilstm(method: Spec, target: Target | None, head: Head) -> Architecture:
    """The one of the given shape, or the largest of the published sizes that a target allows."""
    if target is not None and isinstance(target.shape, BiLstmShape):
        shape = with_embedding(target.shape, target.embedding_size)
        assert isinstance(shape, BiLstmShape)
        return _with_words(shape, target)
    allowed = None if target is None else _allowed(target)
    if target is None or allowed is None or method.students[0] != "bilstm":
        either = ", or max_parameters or max_size_mb" if method.students[0] == "bilstm" else ""
        raise _shape_required("embedding, hidden and projection (a BiLSTM)", target, either)
    shapes = published_bilstms(target.embedding_size, projection=_NEW_PROJECTION)
    students = sorted(
        (_with_words(shape, target) for shape in shapes), key=lambda student: student.count(head=head).total
    )
    fitting = [student for student in students if student.count(head=head).total <= allowed]
    if not fitting:
        raise _too_small(students, allowed, head)
    return max(fitting, key=lambda student: (student.count(head=head).body, student.count(head=head).total))


def _tfidf(method: Spec, target: Target | None, head: Head) -> Architecture:
    """The one of the given shape, or the most terms that a target allows."""
    allowed = None if target is None else _allowed(target)
    if target is None or (allowed is None and not isinstance(target.shape, TfidfShape)):
        raise _shape_required("terms", target, ", or max_parameters or max_size_mb")
    require_embedding(None, method, target)
    shapes = [target.shape] if isinstance(target.shape, TfidfShape) else numbers_of_terms()
    words = _vocabulary(target)
    students = [
        TfidfArchitecture(shape=shape, vocabulary=words, positions=_NEW_POSITIONS) for shape in shapes
    ]
    fitting = [
        student for student in students if allowed is None or student.count(head=head).total <= allowed
    ]
    if not fitting:
        raise _too_small(students, allowed or 0, head)
    return fitting[-1]


def _with_words(shape: BiLstmShape, target: Target) -> BiLstmArchitecture:
    return BiLstmArchitecture(shape=shape, vocabulary=_vocabulary(target), positions=_NEW_POSITIONS)


def _vocabulary(target: Target) -> int:
    vocabulary = target.vocabulary_size or _NEW_VOCABULARY
    if vocabulary < _LEAST_NEW_VOCABULARY:
        raise InvalidRequest(
            "vocabulary_too_small",
            f"target.vocabulary_size is {vocabulary}; a new vocabulary needs at least "
            f"{_LEAST_NEW_VOCABULARY} tokens (256 bytes and three special tokens).",
            pointer=f"{_POINTER}/vocabulary_size",
            smallest=_LEAST_NEW_VOCABULARY,
        )
    return vocabulary


def _allowed(target: Target) -> int | None:
    """Parameters that a target allows; None where it bounds something else."""
    if target.max_size_mb is not None:
        return int(target.max_size_mb * 1e6 / BYTES_PER_PARAMETER["fp32"])
    return target.max_parameters


def _shape_required(fields: str, target: Target | None, either: str = "") -> InvalidRequest:
    return InvalidRequest(
        "shape_required",
        f"A job without a teacher needs an explicit shape. Set target.shape with {fields}{either}.",
        pointer=f"{_POINTER}/shape" if target else _POINTER,
    )


def _too_small(
    students: Sequence[BiLstmArchitecture | TfidfArchitecture], allowed: int, head: Head
) -> InvalidRequest:
    smallest = students[0].count(head=head).total
    return InvalidRequest(
        "target_too_small",
        f"The target allows {allowed:,} parameters, but the smallest {students[0].record.title} model with a "
        f"vocabulary of {students[0].vocabulary:,} tokens has {smallest:,}. Allow at least that, set a "
        "smaller target.vocabulary_size, or set target.shape.",
        pointer=_POINTER,
        smallest_parameters=smallest,
    )
