"""What could be done about the words, which fill most of a small student."""

from collections.abc import Callable, Sequence
from typing import Final

from app.domain.architectures import Architecture, EncoderArchitecture
from app.domain.documents.plan import Advice
from app.domain.methods.card import EmbeddingOption
from app.domain.tasks import Head

_WORTH_SAYING: Final = 0.25
"""Share of the embeddings from which on they are spoken of."""

_VOCABULARIES: Final = (64_000, 32_000, 16_000, 8_000, 4_000, 2_000, 1_000)
_EMBEDDINGS: Final = (256, 128, 64, 32, 16)


def head_of(architecture: Architecture, head: Head) -> Head:
    """The head on this architecture: one that predicts words has as many outputs as there are words."""
    return Head.of(
        head.task, labels=head.outputs, vocabulary=architecture.vocabulary, dimensions=head.outputs
    )


def total(architecture: Architecture, head: Head) -> int:
    return architecture.count(head=head_of(architecture, head)).total


def smaller_vocabulary(words: int) -> int | None:
    """A round number of words well below that of a table, if it is large."""
    return next((size for size in _VOCABULARIES if 3 * size <= words), None)


def advise(
    student: Architecture,
    *,
    head: Head,
    embedding_options: Sequence[EmbeddingOption],
    fitting: Callable[[EmbeddingOption, int], Architecture | None],
) -> list[Advice]:
    """What trimming and factorising the words would free.

    Args:
        student: as planned.
        head: on top of it.
        embedding_options: what the method can do about the words.
        fitting: the largest student if a member of the target were given a value; None where the target
            bounds something else than parameters.
    """
    count = student.count(head=head_of(student, head))
    share = count.embeddings / count.total
    if share < _WORTH_SAYING:
        return []
    advice = []
    words = smaller_vocabulary(student.vocabulary)
    if "vocabulary_size" in embedding_options and words is not None:
        trimmed = student.model_copy(update={"vocabulary": words})
        what = f"With target.vocabulary_size {words:,} instead of {student.vocabulary:,} tokens"
        advice.append(_advice("vocabulary_size", words, what, student, trimmed, head, fitting))
    if (
        "embedding_size" in embedding_options
        and isinstance(student, EncoderArchitecture)
        and student.shape.embedding is None
    ):
        hidden = student.shape.hidden
        width = next((width for width in _EMBEDDINGS if 3 * width <= hidden), None)
        if width is not None:
            shape = student.shape.model_copy(update={"embedding": width})
            factorised = student.model_copy(update={"shape": shape})
            what = f"With target.embedding_size {width}, a factorised embedding of size {width},"
            advice.append(_advice("embedding_size", width, what, student, factorised, head, fitting))
    return [
        item.model_copy(update={"message": f"Embeddings are {share:.0%} of this student. {item.message}"})
        for item in advice
        if item.freed_parameters and item.freed_parameters > 0
    ]


def _advice(
    about: EmbeddingOption,
    value: int,
    what: str,
    student: Architecture,
    lighter: Architecture,
    head: Head,
    fitting: Callable[[EmbeddingOption, int], Architecture | None],
) -> Advice:
    freed = total(student, head) - total(lighter, head)
    larger = fitting(about, value)
    room = larger is not None and larger.count(head=head).body > student.count(head=head).body
    shape = larger.shape if larger is not None and room else None
    return Advice(
        about=about,
        value=value,
        freed_parameters=freed,
        shape=shape,
        message=f"{what} it would have {freed:,} fewer parameters"
        + (f"; the same budget would allow {shape}." if shape else "."),
    )
