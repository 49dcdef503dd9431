"""What a job says of the scores that its data set has of teachers of other kinds."""

import numpy as np

from app.domain.documents.manifest import Split
from app.domain.documents.report import ScoresReport
from app.domain.planning.teacher_scores import LEARNT_SPLITS, teacher_shares, unscored_note
from app.domain.tasks import TASKS
from worker.contracts import TokenizedSplit
from worker.job.state import JobState


def tell_of_scores(state: JobState) -> None:
    """Say whose scores are learnt from, and what becomes of rows that have none."""
    if not state.dataset.teachers:
        return
    if not state.request.learns_from_scores:
        state.reporter.message(
            f"The data set has teacher_scores; {state.spec.method.name}, as it is set here, learns from "
            "labels alone and does not use them."
        )
        return
    teachers = ", ".join(f"{name} ({share:.0%})" for name, share in _shares(state).items())
    scored = _scored(state)
    rows = ", ".join(f"{scored[name]:,} rows of {name}" for name in LEARNT_SPLITS if name in scored)
    state.reporter.message(f"The student learns from the teacher_scores of {teachers}: {rows}.")
    for name, count in _unscored(state).items():
        note = unscored_note(
            name,
            count,
            has_head=not state.teacher.has_new_head,
            has_labels=not TASKS[state.dataset.task].answers_in_vectors,
        )
        state.reporter.message(note, is_warning=True)


def asks_teacher(state: JobState) -> bool:
    """Whether the predictions of the teacher's network are learnt from, of some rows at least."""
    return not state.request.learns_from_scores or bool(_unscored(state))


def scores_report(state: JobState) -> ScoresReport | None:
    """Whose scores the student learns from, and what these are worth."""
    if not state.request.learns_from_scores:
        return None
    return ScoresReport(
        weights=_shares(state), rows=_scored(state), quality=state.teacher_evaluator.scores_quality()
    )


def scored_rows(split: TokenizedSplit) -> int:
    """Of which teachers' scores say something."""
    if split.written is not None:
        return int((split.written.lengths > 0).sum())
    if split.scores is None:
        return 0
    offsets = split.position_offsets
    asked = offsets[:-1][np.diff(offsets) > 0]  # of a row without a word there is nothing to say
    silent = int(np.isnan(split.scores[asked, 0]).sum())
    return len(split) - silent


def _shares(state: JobState) -> dict[str, float]:
    return teacher_shares(state.spec, state.dataset.teachers)


def _scored(state: JobState) -> dict[str, int]:
    """Rows with scores by split, where there are some."""
    counts = {name: scored_rows(split) for name, split in state.data.splits.items()}
    return {name: count for name, count in counts.items() if count}


def _unscored(state: JobState) -> dict[Split, int]:
    """Rows without scores by split, where there are some."""
    found: dict[Split, int] = {}
    for name in LEARNT_SPLITS:
        if name in state.dataset.splits:
            split = state.data.splits.get(name)
            count = state.dataset.splits[name].rows - (0 if split is None else scored_rows(split))
            if count:
                found[name] = count
    return found
