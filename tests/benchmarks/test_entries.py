"""Each line of the comparison asks for what there is."""

import pytest
from pydantic import TypeAdapter

from app.domain.documents import Target, TrainingSpec
from app.domain.methods import MethodSpec
from app.domain.tasks import TASKS
from benchmarks.methods.entry import STUDENT_TRAINING, TEACHER_TRAINING, Entry
from benchmarks.methods.parts import PARTS
from benchmarks.sets import SETS

ENTRIES = [entry for part in PARTS.values() for entry in part()]


@pytest.mark.parametrize(
    "entry", ENTRIES, ids=lambda entry: f"{entry.part}-{entry.set}-{entry.size}-{entry.variant}"
)
def test_an_entry_is_a_job(entry: Entry) -> None:
    chosen = SETS[entry.set]
    spec = TypeAdapter(MethodSpec).validate_python(entry.method)
    assert chosen.task in type(spec).card.tasks
    record = TASKS[chosen.task]
    assert record.selects_by_loss or chosen.metric in record.selecting_metrics
    if entry.target is not None:
        Target.model_validate(entry.target)
    for training in (TEACHER_TRAINING, STUDENT_TRAINING):
        TrainingSpec.model_validate(training[entry.set])
