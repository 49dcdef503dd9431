from dataclasses import replace

import numpy as np
import torch

from app.domain.methods import DistillationTerms, PeaKdSpec
from app.domain.planning.search_space import student_architecture
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, encoder_card, make_data, make_teacher
from worker import methods
from worker.methods.pea_kd.predictions import Thresholds, judge
from worker.transfer.initialisation import first_layers_network

LOGITS = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95], [0.8, 0.2]], dtype=np.float32))
LABELS = np.array([0, 0, 1, 0, 1])
# Right with 0.9, 0.6, 0.7; wrong with 0.95, 0.8.


def pea_context(folder, spec, **options):
    shape = TEACHER_SHAPE.model_copy(update={"layers": 2})
    architecture = student_architecture(encoder_card(shape=TEACHER_SHAPE), spec, shape)
    return MemoryContext(folder, architecture=architecture, **options)


class TestPredictions:
    def test_thresholds_are_the_median_confidences(self):
        found = Thresholds.medians(LOGITS, LABELS)
        assert np.isclose(found.right, 0.7)
        assert np.isclose(found.wrong, 0.875)

    def test_four_classes(self):
        # 0.7 is not above its own median.
        assert judge(LOGITS, LABELS, Thresholds(right=0.7 + 1e-6, wrong=0.875)).tolist() == [0, 1, 1, 2, 3]

    def test_a_teacher_without_mistakes_has_one_threshold(self):
        right = LOGITS.argmax(1)
        found = Thresholds.medians(LOGITS, right)
        assert found.right == found.wrong
        assert set(judge(LOGITS, right, found)) == {0, 1}


def test_starts_as_the_teachers_first_layers(tmp_path):
    teacher, data = make_teacher(), make_data(train=16, dev=8)
    network = first_layers_network(
        teacher, data, pea_context(tmp_path, PeaKdSpec(name="pea_kd", sharing="paired"))
    )
    ours, theirs = network.bert.encoder.layer, teacher.network.bert.encoder.layer
    assert len(ours) == 4
    for run, source in enumerate([0, 0, 1, 1]):
        for mine, other in zip(ours[run].parameters(), theirs[source].parameters(), strict=True):
            assert torch.equal(mine, other)
    assert torch.equal(network.bert.pooler.dense.weight, teacher.network.bert.pooler.dense.weight)


def test_pretraining_keeps_the_encoder_and_not_the_head(teacher, data, tmp_path):
    spec = PeaKdSpec(name="pea_kd", pretraining_ratio=0.5)
    context = pea_context(tmp_path, spec, epochs=4)
    student = methods.load(spec).compress(teacher, data, spec, context)
    stages = [report[0] for report in context.reports if report[3]]
    assert stages == sorted(stages, key=["pretraining", "distillation"].index)
    judged = [r[3]["phase_quality"] for r in context.reports if "phase_quality" in r[3]]
    assert judged[-1] > judged[0]  # minus the loss on dev
    assert student.network.classifier.out_features == len(data.labels)
    assert student.metrics["best_step"] > 16


def test_the_teachers_head_comes_back_after_pretraining(teacher, data, tmp_path):
    spec = PeaKdSpec(name="pea_kd", pretraining_ratio=0.5)
    context = pea_context(tmp_path, spec, epochs=0.5, learning_rate=1e-9)
    student = methods.load(spec).compress(teacher, data, spec, context)
    ours, theirs = student.network.classifier, teacher.network.classifier
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_without_pretraining_there_is_one_stage(teacher, data, tmp_path):
    spec = PeaKdSpec(name="pea_kd", pretraining_ratio=0)
    context = pea_context(tmp_path, spec, epochs=0.25)
    methods.load(spec).compress(teacher, data, spec, context)
    assert {report[0] for report in context.reports if report[3]} == {"distillation"}


def test_the_teacher_runs_once_over_labelled_and_unlabelled_rows(teacher, data, tmp_path):
    spec = PeaKdSpec(name="pea_kd", pretraining_ratio=0.5)
    unlabeled = replace(make_data(train=24).train, labels=None, digest="more")
    data = replace(data, unlabeled=unlabeled)
    context = pea_context(tmp_path, spec, epochs=0.5)
    methods.load(spec).compress(teacher, data, spec, context)
    rows = [len(np.load(path, mmap_mode="r")) for path in context.cache_dir.glob("logits-*.npy")]
    assert sorted(rows) == sorted([len(data.train) + len(unlabeled), len(data.dev)])


def test_softens_two_labels_as_the_paper_does(teacher, data, tmp_path):
    weights = []
    for temperature in (None, 10.0, 2.0):
        terms = DistillationTerms(temperature=temperature, logits_weight=0.7, patient_weight=100)
        spec = PeaKdSpec(name="pea_kd", distillation=terms, pretraining_ratio=0)
        student = methods.load(spec).compress(teacher, data, spec, pea_context(tmp_path, spec, epochs=0.5))
        weights.append(torch.cat([p.detach().flatten() for p in student.network.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
