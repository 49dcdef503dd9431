"""Scores that came with the data in the place of a teacher's forward pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from app.domain.methods import DistillationSpec, DistillationTerms, PeaKdSpec, WeightCopySpec
from tests.worker.compression import MemoryContext, make_data, make_teacher, same_weights
from tests.worker.distillation.test_teacher_outputs import teacher_steps
from worker import methods
from worker.contracts import TaskData, Teacher, TokenizedSplit
from worker.data.batches import collate
from worker.distillation.teacher_outputs import cached_logits, cached_states_asked, teacher_logits
from worker.networks.target_scaling import TargetScaler
from worker.tasks.teacher_scores import certain

CPU = torch.device("cpu")


def scored(teacher: Teacher, data: TaskData, context: MemoryContext) -> TaskData:
    """The data with the teacher's own logits as scores."""

    def of(split: TokenizedSplit) -> TokenizedSplit:
        logits = teacher_logits(teacher, split, pad_id=data.pad_id, context=context)
        return replace(split, scores=np.array(logits))

    return replace(data, train=of(data.train), dev=of(data.dev))


@pytest.mark.parametrize(
    "spec",
    [
        WeightCopySpec(name="weight_copy", distillation=DistillationTerms()),
        DistillationSpec(name="distillation", distillation=DistillationTerms(hidden_weight=0.5)),
        PeaKdSpec(name="pea_kd"),
    ],
    ids=lambda spec: spec.name,
)
def test_a_teacher_s_own_scores_train_the_same_student(tmp_path, spec):
    """To the bit; and the network is not run for its logits."""
    teacher, data = make_teacher(), make_data(train=64, dev=32)
    options = {"epochs": 1}
    if spec.name == "pea_kd":
        shape = teacher.architecture.shape.model_copy(update={"layers": 1})
        schedule = spec.layer_schedule(1)
        options["architecture"] = teacher.architecture.at(shape).model_copy(update={"schedule": schedule})
    ran = MemoryContext(tmp_path / "ran", **options)
    expected = methods.load(spec).compress(teacher, data, spec, ran)
    given = scored(teacher, data, ran)
    context = MemoryContext(tmp_path / "given", **options)
    found = methods.load(spec).compress(teacher, given, spec, context)
    assert same_weights(found.network, expected.network)
    assert bool(teacher_steps(context)) == (spec.name != "weight_copy")  # others learn hidden states, too


@pytest.mark.parametrize("task", ["text_classification", "token_classification", "text_regression"])
class TestMissing:
    @pytest.fixture
    def parts(self, tmp_path, task):
        teacher, data = make_teacher(task=task), make_data(task, train=40)
        context = MemoryContext(tmp_path)
        rows = np.arange(40) % 3 > 0
        known = np.repeat(rows, np.diff(data.train.position_offsets))
        outputs = 1 if task == "text_regression" else len(data.labels)
        scores = np.full((len(known), outputs), 7, np.float32)
        scores[~known] = np.nan
        return teacher, replace(data.train, scores=scores), known, context

    def test_rows_are_asked_of_a_network_that_knows_the_task(self, parts):
        teacher, split, known, context = parts
        network = teacher_logits(teacher, replace(split, scores=None), pad_id=0, context=context)
        found = teacher_logits(teacher, split, pad_id=0, context=context)
        assert (found[known] == 7).all()
        assert np.array_equal(found[~known], network[~known])

    def test_labels_stand_in_where_there_is_none(self, parts):
        teacher, split, known, context = parts
        found = teacher_logits(replace(teacher, has_new_head=True), split, pad_id=0, context=context)
        assert (found[known] == 7).all()
        assert np.array_equal(found[~known], certain(split.labels, found.shape[1])[~known])
        assert teacher_steps(context) == 0


def test_hidden_states_of_a_network_without_a_head_leave_no_logits(tmp_path):
    teacher, data = replace(make_teacher(), has_new_head=True), make_data(train=40)
    context = MemoryContext(tmp_path)
    cached_states_asked(teacher, data.train, state=1, pad_id=0, context=context)
    assert not list(context.cache_dir.glob("logits-*"))


def test_lookups_by_batch(tmp_path):
    data = make_data("token_classification", train=40)
    scores = np.random.default_rng(0).normal(size=(len(data.train.labels), 5)).astype(np.float32)
    split, rows = replace(data.train, scores=scores), np.array([5, 0, 17])
    teacher = make_teacher(task="token_classification")
    found = cached_logits(teacher, split, pad_id=0, context=MemoryContext(tmp_path))
    offsets = split.position_offsets
    expected = np.concatenate([scores[offsets[row] : offsets[row + 1]] for row in rows])
    assert np.array_equal(found(collate(split, rows, pad_id=0, device=CPU)).numpy(), expected)


def test_numbers_far_from_one_are_learnt_on_the_scale_of_the_labels():
    data = make_data("text_regression", train=40)
    labels = data.train.labels * 100 + 500
    train = replace(data.train, labels=labels, scores=labels[:, None].copy())
    unlabeled = replace(train, labels=None)
    scale = TargetScaler.of(replace(data, train=train))
    scaled = scale.data(replace(data, train=train, unlabeled=unlabeled))
    assert np.allclose(scaled.train.scores[:, 0], scaled.train.labels)
    assert np.allclose(scaled.unlabeled.scores, scaled.train.scores)
    assert scaled.unlabeled.labels is None
