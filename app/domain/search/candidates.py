"""Which students a search may try: methods by their traits, sizes and vocabularies."""

from collections.abc import Iterator, Sequence
from typing import Final

from app.domain.architectures import Architecture
from app.domain.documents.auto import Goals
from app.domain.documents.search import Candidate
from app.domain.documents.target import Target
from app.domain.methods import METHOD_SPECS, Spec
from app.domain.tasks import Task

RATIOS: Final = (2.0, 4.0, 8.0, 16.0, 32.0)
_FEWER_WORDS: Final = 4
_LEAST_WORDS: Final = 2_000


def fitting_methods(task: Task, teacher: Architecture, names: Sequence[str] | None) -> list[Spec]:
    """Methods that make a smaller student of a teacher for the task, with their defaults.

    A method that may learn from the teacher's outputs does. Left out are those that need a model beside the
    teacher, whose size no ratio bounds, that train without looking at the teacher, and what is another of
    the methods but for the teacher's outputs, as copying weights is of distillation.
    """
    methods = list(_smaller_by_ratio(task, names))
    without = [(method, method.without_outputs(teacher, teacher)) for method in methods]
    lesser = {other.name for method, other in without if other is not None and other.name != method.name}
    return [method for method in methods if method.name not in lesser]


def _smaller_by_ratio(task: Task, names: Sequence[str] | None) -> Iterator[Spec]:
    for name, kind in METHOD_SPECS.items():
        card = kind.card
        if names is not None and name not in names:
            continue
        if task not in card.tasks or "compression_ratio" not in card.targets or not kind.is_compared:
            continue
        method = kind(name=name)
        if method.inputs or method.shape_role is not None:
            continue
        method = method.with_scores()
        takes_of_teacher = method.reads_weights or method.learns_from_outputs
        if takes_of_teacher or not method.trains_in_steps:  # what is solved for costs seconds
            yield method


def targets_of(method: Spec, *, vocabulary: int) -> Iterator[Target]:
    """Sizes to try with a method, each with the words that its plan chooses and with fewer."""
    fewer = vocabulary // _FEWER_WORDS
    for ratio in RATIOS:
        yield Target(compression_ratio=ratio)
        if "vocabulary_size" in method.card.embedding_options and fewer >= _LEAST_WORDS:
            yield Target(compression_ratio=ratio, vocabulary_size=fewer)


def within_goals(candidate: Candidate, goals: Goals) -> bool:
    """Whether its planned size leaves it a chance."""
    if goals.max_parameters is not None and candidate.parameters > goals.max_parameters:
        return False
    return goals.max_size_mb is None or min(candidate.size_mb.values()) <= goals.max_size_mb


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without those that plan the same number of parameters with the same method."""
    seen: set[tuple[str, int]] = set()
    kept = []
    for candidate in candidates:
        key = candidate.method.name, candidate.parameters
        if key not in seen:
            seen.add(key)
            kept.append(candidate)
    return kept
