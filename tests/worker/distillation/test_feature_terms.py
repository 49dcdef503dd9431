import math
from functools import partial

import numpy as np
import pytest
import torch

from app.domain.architectures import EncoderShape
from app.domain.methods import DistillationTerms, layer_schedule
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, encoder_card, make_data, make_teacher
from worker.data.batches import collate
from worker.distillation.feature_terms import patient_loss, patient_states, relation_heads, relation_loss
from worker.distillation.objectives import Masking
from worker.distillation.training_objective import distillation_objective
from worker.transfer.initialisation import evenly_spaced_network, random_network, subcloned_network

CPU = torch.device("cpu")
ROWS = np.arange(6)
INSIDE = {"logits_weight": 1.0, "hidden_weight": 1.0, "patient_weight": 100.0, "relation_weight": 1.0}


class TestPatientStates:
    @pytest.mark.parametrize(
        ("student", "layers"), [(2, [5]), (3, [3, 7]), (4, [2, 5, 8]), (6, [1, 3, 5, 7, 9])]
    )
    def test_skip_is_the_papers_choice_of_twelve_layers(self, student, layers):
        """The authors count layers from 0; the state after layer i is the i + 1st."""
        assert patient_states("skip", teacher=12, student=student) == [layer + 1 for layer in layers]

    def test_last(self):
        assert patient_states("last", teacher=12, student=6) == [7, 8, 9, 10, 11]

    def test_a_student_of_one_layer_matches_none_and_a_deeper_one_repeats(self):
        assert patient_states("skip", teacher=12, student=1) == []
        assert patient_states("skip", teacher=2, student=4) == [1, 1, 1]


def test_patient_loss_equals_the_written_out_mean():
    first_s, first_t = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    total = 0.0
    for row in range(3):
        for layer in range(2):
            s, t = first_s[row, layer], first_t[row, layer]
            total += float(((s / s.norm() - t / t.norm()) ** 2).sum())
    assert math.isclose(patient_loss(first_s, first_t), total / (3 * 2 * 4), rel_tol=1e-5)


def test_relation_loss_equals_the_written_out_sum():
    vectors_s, vectors_t = torch.randn(2, 3, 4), torch.randn(2, 3, 8)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    total, tokens = 0.0, 0
    for row, length in enumerate([3, 2]):
        tokens += length
        for head in range(2):
            s = vectors_s[row, :length, 2 * head : 2 * head + 2]
            t = vectors_t[row, :length, 4 * head : 4 * head + 4]
            shares_s = torch.softmax(s @ s.T / math.sqrt(2), dim=1)
            shares_t = torch.softmax(t @ t.T / math.sqrt(4), dim=1)
            total += float((shares_t * (shares_t / shares_s).log()).sum())
    assert math.isclose(
        relation_loss(vectors_s, vectors_t, mask, heads=2), total / (tokens * 2), rel_tol=1e-4
    )


def test_relation_heads_divide_both_widths():
    teacher, student = (
        EncoderShape(layers=1, hidden=24, heads=6, ffn=8),
        EncoderShape(layers=1, hidden=16, heads=2, ffn=8),
    )
    assert relation_heads(None, teacher, student) == 4
    assert relation_heads(8, teacher, student) == 8


def lesson_for(task, folder, *, architecture, **terms):
    teacher, data = make_teacher(task=task), make_data(task, train=40, dev=8)
    context = MemoryContext(folder, architecture=architecture)
    return (
        teacher,
        data,
        context,
        distillation_objective(DistillationTerms(**INSIDE, **terms), teacher, data, context),
    )


@pytest.mark.parametrize(
    "task", ["text_classification", "text_regression", "token_classification", "masked_language_modeling"]
)
class TestInside:
    def test_a_teacher_has_nothing_to_learn_from_itself(self, tmp_path, task):
        teacher, data = make_teacher(task=task), make_data(task, train=40, dev=8)
        terms = DistillationTerms(**INSIDE)
        training_objective = distillation_objective(
            terms, teacher, data, MemoryContext(tmp_path, architecture=teacher.architecture)
        )
        batch = collate(training_objective.split, ROWS, pad_id=0, device=CPU)
        loss = training_objective.objective(teacher.network, batch)
        assert loss.detach() < 0.01  # states are kept in fp16, and computed in bf16 where that is faster

    def test_a_narrower_student_learns(self, tmp_path, task):
        architecture = encoder_card(shape=EncoderShape(layers=3, hidden=16, heads=2, ffn=24))
        teacher, data, context, training_objective = lesson_for(task, tmp_path, architecture=architecture)
        network = random_network(teacher, data, context)
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        batch = collate(training_objective.split, ROWS, pad_id=0, device=CPU)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        losses = []
        for _ in range(12):
            torch.manual_seed(0)  # the same words masked
            loss = training_objective.objective(network, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("make", [partial(subcloned_network, layer_map="uniform"), evenly_spaced_network])
@pytest.mark.parametrize("term", ["hidden_weight", "patient_weight"])
def test_what_is_inherited_is_compared_with_what_it_was(tmp_path, make, term):
    """Not with the directions in which most varies, each of which would be somewhere else in the student."""
    data = make_data(train=40, dev=8)
    # Of two layers, as deep as its teacher, and wide enough that what is left out says little.
    teacher = make_teacher(shape=TEACHER_SHAPE.model_copy(update={"layers": 2}))
    architecture = encoder_card(shape=EncoderShape(layers=2, hidden=28, heads=4, ffn=64))
    context = MemoryContext(tmp_path, architecture=architecture)
    start = make(teacher, data, context)
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)

    def loss(projection):
        terms = DistillationTerms(logits_weight=1.0, **{term: 100.0})
        training_objective = distillation_objective(terms, teacher, data, context, projection=projection)
        return training_objective.objective(start.network, batch).item()

    assert loss(start.projection) < 0.5 * loss(None)


def test_each_term_counts(tmp_path):
    architecture = encoder_card(shape=EncoderShape(layers=3, hidden=16, heads=2, ffn=24))
    teacher, data = make_teacher(), make_data(train=40, dev=8)
    context = MemoryContext(tmp_path, architecture=architecture)
    network = random_network(teacher, data, context)
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)

    def loss(**terms):
        found = distillation_objective(DistillationTerms(logits_weight=1.0, **terms), teacher, data, context)
        return found.objective(network, batch).item()

    plain = loss()
    each = [loss(**{name: INSIDE[name]}) - plain for name in INSIDE if name != "logits_weight"]
    assert min(each) > 0
    assert math.isclose(
        loss(**{k: v for k, v in INSIDE.items() if k != "logits_weight"}) - plain, sum(each), rel_tol=1e-4
    )
    assert loss(patient_weight=100, patient_layers="last") != loss(patient_weight=100)
    assert loss(relation_weight=1, relation_heads=1) != loss(relation_weight=1)


def test_the_teacher_runs_once_for_all_its_outputs(tmp_path):
    architecture = encoder_card(shape=EncoderShape(layers=3, hidden=16, heads=2, ffn=24))
    _, _, context, _ = lesson_for("text_classification", tmp_path, architecture=architecture)
    passes = [
        report for report in context.reports if report[0] == "teacher_outputs" and report[1] == report[2]
    ]
    assert len(passes) == 1
    names = {path.name.split("-")[0] for path in context.cache_dir.glob("*.npy")}
    assert len(list(context.cache_dir.glob("*.npy"))) == 5, names  # logits, last, below it, two first tokens'


def test_masked_words_are_asked_of_the_teacher_as_they_are_masked(tmp_path):
    architecture = encoder_card(shape=TEACHER_SHAPE)
    _, _, context, training_objective = lesson_for(
        "masked_language_modeling", tmp_path, architecture=architecture
    )
    assert isinstance(training_objective.objective, Masking)
    assert not context.cache_dir.exists() or not list(context.cache_dir.iterdir())


def test_students_whose_layers_run_twice_match_every_run(tmp_path):
    shape = TEACHER_SHAPE.model_copy(update={"layers": 2})
    architecture = encoder_card(shape=shape).model_copy(update={"schedule": layer_schedule("shuffled", 2)})
    teacher, data, context, training_objective = lesson_for(
        "text_classification", tmp_path, architecture=architecture
    )
    network = random_network(teacher, data, context)
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)
    assert torch.isfinite(training_objective.objective(network, batch))
    assert sorted(path.name.split("-")[0] for path in context.cache_dir.glob("first*")) == [
        "first1",
        "first2",
        "first3",
    ]
