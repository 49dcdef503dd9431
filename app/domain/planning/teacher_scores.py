"""Scores that came with a data set, in place of a network's predictions: whose they are, if they suffice."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from app.domain.documents import JobSpec
from app.domain.documents.manifest import DatasetManifest, ModelManifest, Split, SplitSummary
from app.domain.documents.plan import PlannedScores
from app.domain.errors import InvalidRequest
from app.domain.planning.compatibility import learns_from_scores
from app.domain.tasks import TASKS

LEARNT_SPLITS: Final[tuple[Split, ...]] = ("train", "unlabeled")


def plan_scores(spec: JobSpec, teacher: ModelManifest | None, data: DatasetManifest) -> PlannedScores | None:
    """Whose scores a job learns from, and what a client should hear of them; None where it learns from none.

    Raises:
        InvalidRequest: ``teacher_weights`` names teachers that there are not, or there is nothing to weigh;
            texts of several are to be learnt; or the method needs to know more of the teacher.
    """
    if spec.teacher_weights is not None:
        _require_weighable(spec, data)
    if not learns_from_scores(spec, data):
        return None
    weights = teacher_shares(spec, data.teachers)
    _require_one_text(weights, data)
    _require_choices(weights, data)
    has_head = knows_task(teacher, data)
    _require_measure(data)
    if not has_head:
        _require_dev(spec, weights, data)
    return PlannedScores(
        weights=weights,
        rows={
            split: {name: counted[name].rows for name in weights if name in counted}
            for split in LEARNT_SPLITS
            if split in data.splits and (counted := data.splits[split].teacher_scores or {})
        },
        notes=list(_notes(weights, data, has_head=has_head, has_teacher=teacher is not None)),
    )


def teacher_shares(spec: JobSpec, teachers: Sequence[str]) -> dict[str, float]:
    """Weights of the teachers that a job learns from; they sum to 1."""
    weights = spec.teacher_weights or dict.fromkeys(teachers, 1.0)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def unscored_note(split: Split, rows: int, *, has_head: bool, has_labels: bool = True) -> str:
    """What becomes of rows without scores.

    Args:
        split: theirs.
        rows: how many.
        has_head: whether a teacher's network can be asked in their place.
        has_labels: whether rows of train have labels that can stand in.
    """
    if has_head:
        what = "the teacher's own predictions are used there"
    elif split == "train" and has_labels:
        what = "their labels stand in for them"
    else:
        what = "these rows are left out, because there is no network with a head for the task to ask"
    return f"{rows:,} rows of {split} have no teacher_scores: {what}."


def knows_task(teacher: ModelManifest | None, data: DatasetManifest) -> bool:
    """Whether a network can stand in where scores are missing; its vectors lie in a space of their own."""
    if teacher is None or TASKS[data.task].answers_in_vectors:
        return False
    return teacher.has_head_for(data.task, data.labels)


def unscored_rows(summary: SplitSummary, weights: Mapping[str, float]) -> int:
    """Rows of a split without scores of these teachers; of several teachers at most so many."""
    said = summary.teacher_scores or {}
    return summary.rows - max((said[name].rows for name in weights if name in said), default=0)


def _require_weighable(spec: JobSpec, data: DatasetManifest) -> None:
    pointer = "#/teacher_weights"
    if not data.teachers:
        raise InvalidRequest(
            "teacher_weights_not_allowed",
            "The data set has no teacher_scores to weigh. Omit teacher_weights, or upload the data set with "
            "a column 'teacher_scores'.",
            pointer=pointer,
        )
    if not spec.method.learns_from_outputs:
        raise InvalidRequest(
            "teacher_weights_not_allowed",
            f"{spec.method.name}, as it is set here, learns from labels alone. Omit teacher_weights, or set "
            "method.distillation where the method has it.",
            pointer=pointer,
        )
    if unknown := sorted((spec.teacher_weights or {}).keys() - set(data.teachers)):
        raise InvalidRequest(
            "unknown_teachers",
            f"teacher_weights names {', '.join(unknown)}; the data set has teacher_scores of "
            f"{', '.join(data.teachers)}.",
            pointer=pointer,
            teachers=data.teachers,
        )


def _require_one_text(weights: Mapping[str, float], data: DatasetManifest) -> None:
    scoring = TASKS[data.task].scoring
    if scoring in {"text", "vector"} and len(weights) > 1:
        raise InvalidRequest(
            f"{scoring}s_not_averaged",
            f"The data set has {scoring}s of {', '.join(weights)}, which cannot be averaged. Name one of "
            f'them in teacher_weights, such as {{"{next(iter(weights))}": 1}}.',
            pointer="#/teacher_weights",
            teachers=list(weights),
        )


def _require_measure(data: DatasetManifest) -> None:
    """Refuse vectors to learn from where train has none, or dev nothing to measure students by."""
    dev = data.splits["dev"]
    if not TASKS[data.task].answers_in_vectors:
        return
    if not data.splits["train"].teacher_scores:
        raise InvalidRequest(
            "teacher_scores_required",
            "The student is to learn the vectors in teacher_scores, and train has none. Add them to train.",
            pointer="#/dataset",
            split="train",
        )
    if dev.scores is not None:
        return
    if any(scored.rows == dev.rows for scored in (dev.teacher_scores or {}).values()):
        return
    raise InvalidRequest(
        "nothing_to_measure",
        "The student is to learn the vectors in teacher_scores, but dev has neither pairs with scores nor "
        "teacher_scores in all rows to measure it by. Add one of them to dev.",
        pointer="#/dataset",
        split="dev",
    )


def _require_choices(weights: Mapping[str, float], data: DatasetManifest) -> None:
    """Refuse a teacher that is silent of rows that have no label either; of several one may speak."""
    for split, summary in data.splits.items():
        if summary.labelled_by_teacher and len(weights) == 1 and (missing := unscored_rows(summary, weights)):
            raise InvalidRequest(
                "missing_target",
                f"{missing:,} rows of {split} have no label, and no teacher_scores of {next(iter(weights))}. "
                "Name more teachers in teacher_weights, or upload labels.",
                pointer="#/teacher_weights",
                split=split,
            )


def _require_dev(spec: JobSpec, weights: Mapping[str, float], data: DatasetManifest) -> None:
    """Refuse a method that compares with a teacher on dev where nothing speaks of all its rows."""
    if spec.method.needs_dev_outputs and (missing := unscored_rows(data.splits["dev"], weights)):
        raise InvalidRequest(
            "teacher_scores_required",
            f"{spec.method.name} compares with the teacher on dev, where {missing:,} rows have no "
            "teacher_scores, and there is no teacher with a head for the task. Add scores to dev, or name "
            "such a teacher.",
            pointer="#/dataset",
            split="dev",
        )


def _notes(
    weights: Mapping[str, float], data: DatasetManifest, *, has_head: bool, has_teacher: bool
) -> Iterator[str]:
    if has_teacher and not has_head:
        yield (
            "The teacher has no head for the task and these labels: its weights are inherited, a new head is "
            "initialised, and what is learnt are the teacher_scores."
        )
    for split in LEARNT_SPLITS:
        if split in data.splits and (missing := unscored_rows(data.splits[split], weights)):
            has_labels = not TASKS[data.task].answers_in_vectors
            yield unscored_note(split, missing, has_head=has_head, has_labels=has_labels)
    labels = data.splits["train"].labels
    for name in weights:
        scored = (data.splits["train"].teacher_scores or {}).get(name)
        if scored is None or scored.agreement is None or not labels or TASKS[data.task].answering != "text":
            continue
        frequent = max(labels.values()) / max(1, sum(labels.values()))
        if scored.agreement <= frequent:
            yield (
                f"The first choices of {name} are the labels of {scored.agreement:.0%} of train; always "
                f"predicting the most frequent label is right for {frequent:.0%}. Lists of scores are in the "
                f"order {', '.join(data.labels[:5])}{' ...' if len(data.labels) > 5 else ''}: check it."
            )
