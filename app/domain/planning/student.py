"""From a target to the student: the largest that fits, and where its parameters lie."""

import math
from collections.abc import Sequence
from typing import Final

from app.domain.architectures import (
    BYTES_PER_PARAMETER,
    MAX_ONNX_BYTES,
    AnyShape,
    Architecture,
    EncoderArchitecture,
    EncoderShape,
    ParameterCount,
)
from app.domain.documents import Target
from app.domain.documents.plan import Budget, StudentPlan
from app.domain.errors import InvalidRequest
from app.domain.methods import Spec
from app.domain.methods.card import EmbeddingOption
from app.domain.planning.advice import advise, head_of, smaller_vocabulary, total
from app.domain.planning.constraints import (
    may_change_embedding,
    require_embedding,
    require_embeddings_found,
    require_fitting,
    require_head_pairs,
    require_relations,
    require_teacher,
    with_embedding,
)
from app.domain.planning.first_model import first_model
from app.domain.planning.search_space import LatencyOf, family, student_architecture
from app.domain.planning.spare_budget import widened, with_fewer_words
from app.domain.tasks import Head

_POINTER = "#/target"
_MOST_TIMED: Final = 127
"""Students among which one is sought by its latency: seven measurements."""


def plan_student(
    teacher: Architecture | None,
    method: Spec,
    target: Target | None,
    *,
    head: Head,
    latency: LatencyOf | None = None,
    text_tokens: float = 0.0,
) -> StudentPlan:
    """The largest student that the method can make within the target; without a target, the teacher.

    The largest is the one with the most parameters that compute: width is expensive if the vocabulary is
    large, depth is not. Where words would be most of it and there is text enough, it knows fewer of them
    unless the target says how many; what a budget leaves over widens the feed-forward. The same arguments
    give the same plan, and latency the same for the same architecture.

    Args:
        teacher: as it is registered, all its words included; None where a first model is made.
        method: decides which shapes there are.
        target: what bounds the student.
        head: on top of it; outputs that are words follow the vocabulary.
        latency: of an architecture in milliseconds; needed for ``max_latency_ms`` alone.
        text_tokens: of the data from which the words that stay would be chosen.

    Raises:
        InvalidRequest: no student fits, the target is not smaller than the teacher, the method cannot make
            the shape, or what it makes is too large for an ONNX file.
    """
    if teacher is None:
        first = first_model(method, target, head)
        _require_one_file(first, head, pointer=_POINTER)
        return _described(first, whole=None, allowed=None, head=head)
    whole = total(teacher, head)
    if target is None:
        _require_one_file(teacher, head, pointer="#/teacher")
        return _described(teacher, whole=whole, allowed=None, head=head)
    require_teacher(teacher, method)
    require_embedding(teacher, method, target)
    architecture, latency_ms = _choose(teacher, method, target, head=head, latency=latency)
    allowed = _allowed(target, whole)

    def fitting(member: str, value: int) -> Architecture | None:
        if allowed is None:
            return None
        try:
            return _choose(teacher, method, target.model_copy(update={member: value}), head=head)[0]
        except InvalidRequest:  # no student is wide enough
            return None

    options = _embedding_options(teacher, method)
    fewer_words = None
    if allowed is not None and "vocabulary_size" in options and target.vocabulary_size is None:
        fewer_words = with_fewer_words(
            architecture,
            head=head,
            allowed=allowed,
            text_tokens=text_tokens,
            fitting=lambda words: fitting("vocabulary_size", words),
        )
    if fewer_words is None:
        advice = advise(architecture, head=head, embedding_options=options, fitting=fitting)
    else:
        architecture, note = fewer_words
        advice = [note]
    require_relations(teacher, method, architecture)
    _require_one_file(architecture, head, pointer=_POINTER)
    plan = _described(architecture, whole=whole, allowed=allowed, head=head)
    return plan.model_copy(update={"latency_ms": latency_ms, "advice": advice})


def _embedding_options(teacher: Architecture, method: Spec) -> list[EmbeddingOption]:
    """What can be done about the words; where another model gives the shape, its own are what they are."""
    if method.shape_role is not None:
        return []
    may_factorise = may_change_embedding(teacher, method)
    return [name for name in method.card.embedding_options if may_factorise or name != "embedding_size"]


def _choose(
    teacher: Architecture, method: Spec, target: Target, *, head: Head, latency: LatencyOf | None = None
) -> tuple[Architecture, float | None]:
    """The student's architecture and, where it was asked for, its latency."""
    whole = total(teacher, head)
    if target.shape is not None:
        return _given(teacher, method, target, target.shape, head=head), None
    allowed = _allowed(target, whole)
    if allowed is not None and allowed >= whole:
        raise _too_large(f"{allowed:,} parameters", whole)
    students = _smaller_students(teacher, method, target, head=head)
    if not students:
        raise InvalidRequest(
            "no_smaller_student",
            f"{method.name} cannot make a student smaller than this teacher ({teacher.shape})"
            + (f" with an embedding of {target.embedding_size}." if target.embedding_size else ".")
            + _narrower(method),
            pointer=_POINTER,
        )
    if target.max_latency_ms is not None:
        assert latency is not None, "max_latency_ms needs a latency function"
        return _largest_in_time(students, target.max_latency_ms, latency, head=head)
    assert allowed is not None
    fitting = [student for student in students if total(student, head) <= allowed]
    if not fitting:
        raise _too_small(students, allowed, whole, method, head=head)
    largest = fitting[-1]
    if isinstance(teacher, EncoderArchitecture):
        largest = widened(largest, teacher.shape.ffn, method, head=head, allowed=allowed)
    return largest, None


def _smaller_students(
    teacher: Architecture, method: Spec, target: Target, *, head: Head
) -> list[Architecture]:
    """The method's students with fewer parameters than the teacher; those that compute most come last."""
    whole = total(teacher, head)
    counted = [
        (student, student.count(head=head_of(student, head)))
        for student in family(
            _trimmed(teacher, target),
            method,
            embedding=target.embedding_size,
            dimensions=[target.dimensions] if target.dimensions else range(2, head.outputs + 1),
        )
    ]
    smaller = [(student, count) for student, count in counted if count.total < whole]
    return [student for student, _ in sorted(smaller, key=lambda pair: _computing(pair[1]))]


def _computing(count: ParameterCount) -> tuple[int, int]:
    """How much computes, then how little is looked up; of what is a table alone, how much that is."""
    return count.body, -count.embeddings if count.body else count.embeddings


def _given(
    teacher: Architecture, method: Spec, target: Target, shape: AnyShape, *, head: Head
) -> Architecture:
    embedding = target.embedding_size
    if embedding is None and isinstance(teacher, EncoderArchitecture) and isinstance(shape, EncoderShape):
        embedding = shape.embedding or teacher.embedding_at(shape.hidden)
    shape = with_embedding(shape, embedding)
    architecture = student_architecture(_trimmed(teacher, target), method, shape)
    require_fitting(teacher.shape, method, shape, head=head)
    require_embeddings_found(teacher, method, architecture)
    require_head_pairs(architecture)
    whole = total(teacher, head)
    if total(architecture, head) >= whole:
        raise _too_large(f"The shape {shape}", whole)
    return architecture


def _largest_in_time(
    students: Sequence[Architecture], limit_ms: float, latency: LatencyOf, *, head: Head
) -> tuple[Architecture, float]:
    """Halves the students until the limit is between two, taking time to grow with what computes.

    It does so but roughly, a deep network being slower than a wide one; the one that is chosen was measured.
    """
    students = students[:: math.ceil(len(students) / _MOST_TIMED)]
    best: tuple[Architecture, float] | None = None
    fastest_ms = math.inf
    low, high = 0, len(students)
    while low < high:
        middle = (low + high) // 2
        student = students[middle]
        latency_ms = latency(student, head_of(student, head))
        fastest_ms = min(fastest_ms, latency_ms)
        if latency_ms <= limit_ms:
            best = student, latency_ms
            low = middle + 1
        else:
            high = middle
    if best is None:
        raise InvalidRequest(
            "target_too_small",
            f"The target allows {limit_ms:g} ms, but the fastest student of this teacher that was timed "
            f"took {fastest_ms:.3g} ms. Allow at least that.",
            pointer=f"{_POINTER}/max_latency_ms",
            fastest_ms=fastest_ms,
        )
    return best


def _trimmed(teacher: Architecture, target: Target) -> Architecture:
    """The teacher with the words that both keep."""
    words = min(target.vocabulary_size or teacher.vocabulary, teacher.vocabulary)
    return teacher.model_copy(update={"vocabulary": words})


def _allowed(target: Target, whole: int) -> int | None:
    """How many parameters a target allows; None where it bounds something else."""
    if target.compression_ratio is not None:
        return int(whole / target.compression_ratio)
    if target.max_size_mb is not None:
        return int(target.max_size_mb * 1e6 / BYTES_PER_PARAMETER["fp32"])
    return target.max_parameters


def _too_large(what: str, whole: int) -> InvalidRequest:
    return InvalidRequest(
        "target_too_large",
        f"{what} is not smaller than the teacher, which has {whole:,} parameters. Use a smaller target.",
        pointer=_POINTER,
        teacher_parameters=whole,
    )


def _too_small(
    students: Sequence[Architecture], allowed: int, whole: int, method: Spec, *, head: Head
) -> InvalidRequest:
    student = min(students, key=lambda student: total(student, head))
    smallest = total(student, head)
    embeddings = student.count(head=head_of(student, head)).embeddings
    words = smaller_vocabulary(student.vocabulary)
    advice = ""
    if 2 * embeddings > smallest:
        advice = " Most of these are embeddings."
        if words is not None:
            trimmed = total(student.model_copy(update={"vocabulary": words}), head)
            advice += f" With target.vocabulary_size {words:,} it would have {trimmed:,}."
    return InvalidRequest(
        "target_too_small",
        f"The target allows {allowed:,} parameters, but the smallest student of this teacher has "
        f"{smallest:,} ({math.ceil(smallest * BYTES_PER_PARAMETER['fp32'] / 1e4) / 100:.2f} MB in fp32, "
        f"compression ratio {math.floor(10 * whole / smallest) / 10:.1f}). Allow at least that.{advice}"
        f"{_narrower(method)}",
        pointer=_POINTER,
        smallest_parameters=smallest,
        smallest_size_mb=smallest * BYTES_PER_PARAMETER["fp32"] / 1e6,
        largest_compression_ratio=whole / smallest,
    )


def _narrower(method: Spec) -> str:
    """For messages: how a method that keeps the size of heads would make narrower students."""
    return f" {method.other_keeping}." if method.other_keeping and "head_dim" in method.keeps else ""


def _require_one_file(architecture: Architecture, head: Head, *, pointer: str) -> None:
    """Refuse now what would be trained and could not be exported then."""
    weight_bytes = (total(architecture, head) + architecture.sines) * BYTES_PER_PARAMETER["fp32"]
    if weight_bytes > MAX_ONNX_BYTES:
        raise InvalidRequest(
            "onnx_too_large",
            f"The student ({architecture.shape}) would have {weight_bytes / 1e9:.2f} GB of fp32 weights; an "
            f"ONNX file is limited to {MAX_ONNX_BYTES / 1e9:.2f} GB. "
            + ("Use a smaller teacher." if pointer == "#/teacher" else "Use a smaller target."),
            pointer=pointer,
            weight_bytes=weight_bytes,
        )


def _described(
    architecture: Architecture, *, whole: int | None, allowed: int | None, head: Head
) -> StudentPlan:
    count = architecture.count(head=head_of(architecture, head))
    allowed = count.total if allowed is None else allowed
    return StudentPlan(
        architecture=architecture,
        parameters=count,
        compression_ratio=None if whole is None else whole / count.total,
        size_mb={
            "fp32": count.total * BYTES_PER_PARAMETER["fp32"] / 1e6,
            "int8": count.total * BYTES_PER_PARAMETER["int8"] / 1e6,
        },
        budget=Budget(
            parameters=allowed,
            embeddings=count.embeddings / allowed,
            encoder=count.encoder / allowed,
            decoder=count.decoder / allowed,
            head=count.head / allowed,
            unused=(allowed - count.total) / allowed,
        ),
    )
