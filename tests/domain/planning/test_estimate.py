"""What a job will roughly cost."""

import pytest

from app.domain.architectures import Architecture, BiLstmArchitecture, BiLstmShape, EncoderShape
from app.domain.documents import TrainingSpec
from app.domain.documents.plan import Estimate
from app.domain.methods import MethodSpec
from app.domain.planning import TypicalRow, Workload, estimate, step_count
from app.domain.planning.stages import TEACHER_OUTPUTS, TRAINING, Figures
from app.domain.tasks import Head
from tests.domain.planning.teachers import CLASSES, MARIAN, MINILM, TAGS, TRANSLATION, WORDS, method

SMALL = MINILM.at(EncoderShape(layers=3, hidden=192, heads=6, ffn=768))
BILSTM = BiLstmArchitecture(
    shape=BiLstmShape(embedding=50, hidden=200, projection=384), vocabulary=30_522, positions=512
)
PRODUCTS_ALONE = Figures(
    training_gflops=100, forward_gflops=100, layer_s=0, parameter_s=0, calibration_gflops=100
)
TEXT = TypicalRow(tokens=20)
SENTENCES = TypicalRow(tokens=20, target_tokens=20)


def cost(
    architecture: Architecture = MINILM,
    spec: MethodSpec | None = None,
    *,
    head: Head = CLASSES,
    rows: int = 1000,
    row: TypicalRow = TEXT,
    teacher: Architecture | None = None,
    unlabeled: int = 0,
    **training: int,
) -> Estimate:
    job = Workload(
        student=architecture,
        method=spec or method("scratch"),
        teacher=teacher,
        given=teacher,
        head=head,
        rows=rows,
        row=row,
        training=TrainingSpec(**({"epochs": 3} | training)),
        unlabeled=unlabeled,
    )
    return estimate(job, figures=PRODUCTS_ALONE)


def seconds(found: Estimate, stage: str = TRAINING) -> float:
    return sum(entry.seconds for entry in found.stages if entry.stage == stage)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch_size", "steps"), [(256, 3, 64, 12), (257, 1, 64, 5), (10, 0.01, 64, 1)]
)
def test_steps(rows, epochs, batch_size, steps):
    assert step_count(rows=rows, training=TrainingSpec(epochs=epochs, batch_size=batch_size)) == steps


def test_six_operations_a_product():
    """Of 10.6 M parameters, 20 tokens, 1024 rows and 3 epochs at 100 GFLOP/s."""
    assert seconds(cost(rows=1024)) == pytest.approx(6 * 10_646_784 * 20 * 1024 * 3 / 100e9, rel=0.01)


def test_it_grows_with_what_costs():
    assert seconds(cost(rows=2048)) == pytest.approx(2 * seconds(cost(rows=1024)))
    assert cost(rows=2048).seconds > cost(rows=1024).seconds
    assert seconds(cost(SMALL)) < seconds(cost())
    assert cost(batch_size=128).peak_memory_mb > cost(batch_size=64).peak_memory_mb
    assert cost(batch_size=128, micro_batch_size=64).peak_memory_mb == cost(batch_size=64).peak_memory_mb


def test_a_teacher_that_is_learnt_from_runs_once():
    plain = cost(SMALL, method("weight_copy"), teacher=MINILM)
    learnt = cost(SMALL, method("weight_copy", distillation={}), teacher=MINILM)
    assert seconds(plain, TEACHER_OUTPUTS) == 0
    assert seconds(learnt) == seconds(plain)
    once = 2 * 10_646_784 * 20 * 1000 / 100e9
    assert once < seconds(learnt, TEACHER_OUTPUTS) == pytest.approx(once, abs=0.2)
    distilled = cost(SMALL, method("distillation"), teacher=MINILM)
    assert seconds(distilled, TEACHER_OUTPUTS) == seconds(learnt, TEACHER_OUTPUTS)


def test_who_learns_from_a_teacher_learns_from_unlabeled_rows():
    plain, learnt = method("weight_copy"), method("weight_copy", distillation={})
    unmoved = cost(SMALL, plain, teacher=MINILM)
    assert seconds(cost(SMALL, plain, teacher=MINILM, unlabeled=9000)) == seconds(unmoved)
    more, labelled = (
        cost(SMALL, learnt, teacher=MINILM, **rows) for rows in ({"unlabeled": 9000}, {"rows": 10_000})
    )
    for stage in (TRAINING, TEACHER_OUTPUTS):
        assert seconds(more, stage) == seconds(labelled, stage)
    bilstm = cost(BILSTM, method("bilstm"), teacher=MINILM, unlabeled=9000)
    assert bilstm.steps == step_count(rows=10_000, training=TrainingSpec(epochs=3))


@pytest.mark.parametrize(("weight", "rows"), [(0.0, 1000), (0.5, 2500), (1.0, 1500)])
def test_translations_of_a_teacher_are_added_to_the_data(weight, rows):
    spec = method("distillation", distillation={"logits_weight": weight})
    found = cost(MARIAN, spec, head=TRANSLATION, row=SENTENCES, teacher=MARIAN, unlabeled=500)
    assert found.steps == step_count(rows=rows, training=TrainingSpec(epochs=3))


def test_layers_that_run_twice_take_twice_as_long():
    from app.domain.methods import layer_schedule

    shared = SMALL.model_copy(update={"schedule": layer_schedule("shuffled", 3)})
    assert seconds(cost(shared)) == pytest.approx(2 * seconds(cost(SMALL)), rel=0.01)


def test_wid_trains_at_the_teacher_s_size():
    spec = method("weight_inherited")
    narrowing = [stage for stage in cost(SMALL, spec, teacher=MINILM).stages if stage.stage == TRAINING]
    rates = [stage.seconds / stage.steps for stage in narrowing]
    assert rates[:-1] == sorted(rates[:-1], reverse=True)  # its steps cost less and less
    whole = cost(MINILM)
    assert rates[0] > seconds(whole) / whole.steps > rates[-1]  # at first with compactors, then the student
    beside = 6 * (10 * 384**2 + 2 * 1536**2)  # compactors, each kept four times
    more = cost(SMALL, spec, teacher=MINILM).peak_memory_mb - cost(MINILM).peak_memory_mb
    assert more == pytest.approx(4 * (4 * beside + MINILM.count(head=CLASSES).total) / 1e6, rel=0.01)


def test_every_word_of_a_translation_looks_at_the_vocabulary():
    few = MARIAN.model_copy(update={"vocabulary": 1000})
    dear = seconds(cost(MARIAN, head=TRANSLATION, row=SENTENCES, rows=1024))
    cheap = seconds(cost(few, head=TRANSLATION, row=SENTENCES, rows=1024))
    assert dear - cheap == pytest.approx(6 * 7000 * 512 * 20 * 1024 * 3 / 100e9)


@pytest.mark.parametrize("head", [CLASSES, TAGS, WORDS], ids=lambda head: head.task)
def test_every_task_has_a_price(head):
    assert seconds(cost(head=head)) > 0
    assert seconds(cost(BILSTM, head=head)) < seconds(cost(head=head))


def test_masked_words_look_at_the_vocabulary():
    products = 0.15 * 20 * (30_522 * 384 + WORDS.outputs + 384 * 384 + 3 * 384)
    extra = seconds(cost(head=WORDS, rows=1024)) - 6 * 10_646_784 * 20 * 1024 * 3 / 100e9
    assert extra == pytest.approx(6 * products * 1024 * 3 / 100e9)


def test_a_tiny_student_is_timed_in_a_moment():
    """Its runs are counted; those of a large one end by the clock."""
    tiny = MINILM.at(EncoderShape(layers=1, hidden=16, heads=2, ffn=32))
    assert seconds(cost(tiny), "measuring") < 0.5
    assert seconds(cost(SMALL), "measuring") < seconds(cost(), "measuring")
    assert 3.5 < seconds(cost(), "measuring") < 5
