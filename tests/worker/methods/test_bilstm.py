"""The BiLSTM's losses, its stages, and what it learns from texts without labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from app.domain.architectures import BiLstmArchitecture, BiLstmShape
from app.domain.methods import BiLstmSpec, FineTuningSpec
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, make_data, make_teacher
from worker import methods
from worker.contracts import TaskData, Teacher
from worker.data.batches import collate, subset
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.quality import measure
from worker.methods.bilstm.losses import answer_distance, representation_distance
from worker.methods.bilstm.method import start_words
from worker.methods.bilstm.stage_objectives import StageObjectives, teacher_state
from worker.methods.bilstm.stages import UNFREEZING, divide, plan_stages

CPU = torch.device("cpu")


class TestLosses:
    def test_logits_by_hand(self):
        ours, theirs = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 5.0], [-1.0, 1.0]])
        # The teacher's rows at mean 0 are (-1, 1) and (-1, 1).
        expected = ((2**2 + 1**2) / 2 + (1**2 + 1**2) / 2) / 2
        assert answer_distance(ours, theirs, "logits").item() == pytest.approx(expected)

    def test_labels_are_the_teachers_choice(self):
        ours, theirs = torch.randn(6, 4), torch.randn(6, 4)
        chosen = [
            -torch.log_softmax(row, 0)[teacher.argmax()] for row, teacher in zip(ours, theirs, strict=True)
        ]
        assert torch.allclose(answer_distance(ours, theirs, "labels"), torch.stack(chosen).mean())

    @pytest.mark.parametrize("kind", ["mse", "cosine", "kld"])
    def test_representations_by_hand(self, kind):
        ours, theirs = torch.randn(5, 3), torch.randn(5, 3)
        rows = []
        for a, b in zip(ours.numpy().astype(float), theirs.numpy().astype(float), strict=True):
            p, q = np.exp(b) / np.exp(b).sum(), np.exp(a) / np.exp(a).sum()
            rows.append(
                {
                    "mse": ((a - b) ** 2).mean(),
                    "cosine": 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
                    "kld": (p * np.log(p / q)).sum(),
                }[kind]
            )
        assert representation_distance(ours, theirs, kind).item() == pytest.approx(np.mean(rows), abs=1e-5)
        assert representation_distance(theirs, theirs, kind).item() == pytest.approx(0, abs=1e-6)

    def test_nothing_asked_is_no_distance(self):
        """A row of tags may have no word that a tokenizer knows."""
        none = torch.zeros(0, 3)
        for kind in ("logits", "labels"):
            assert answer_distance(none, none, kind).item() == 0
        for kind in ("mse", "cosine", "kld"):
            assert representation_distance(none, none, kind).item() == 0


class TestStages:
    @pytest.mark.parametrize("steps", [1, 16, 1000])
    @pytest.mark.parametrize("gradual", [True, False])
    def test_steps_add_up(self, steps, gradual):
        planned = plan_stages(steps, labelled_share=0.1, gradual_unfreezing=gradual)
        assert sum(stage.steps for stage in planned) == steps

    def test_each_later_stage_unfreezes_from_the_top(self):
        planned = shape_of(plan_stages(1000, labelled_share=0.1, gradual_unfreezing=True))
        assert planned == [
            ("representation", 4),
            *(("logits", depth) for depth in (1, 2, 3, 4)),
            *(("labels", depth) for depth in (1, 2, 3, 4)),
        ]

    def test_without_unfreezing_all_parts_train_in_every_stage(self):
        planned = shape_of(plan_stages(1000, labelled_share=0.1, gradual_unfreezing=False))
        assert planned == [("representation", 4), ("logits", 4), ("labels", 4)]

    @pytest.mark.parametrize(("labelled_share", "steps"), [(1e-6, 100), (0.5, 300), (1.0, 500)])
    def test_labels_get_more_steps_the_more_there_are(self, labelled_share, steps):
        planned = plan_stages(1000, labelled_share=labelled_share, gradual_unfreezing=True)
        assert sum(stage.steps for stage in planned if stage.stage == "labels") == steps
        assert sum(stage.steps for stage in planned if stage.stage == "representation") == 200

    def test_shares_are_kept(self):
        assert divide(200, [share for _, share in UNFREEZING]) == [10, 10, 40, 140]


def shape_of(stages):
    return [(stage.stage, stage.depth) for stage in stages]


def bilstm_context(folder, teacher: Teacher, **options) -> MemoryContext:
    shape = BiLstmShape(embedding=8, hidden=12, projection=TEACHER_SHAPE.hidden)
    architecture = BiLstmArchitecture(shape=shape, vocabulary=teacher.architecture.vocabulary, positions=64)
    return MemoryContext(folder, architecture=architecture, **options)


def distil(teacher: Teacher, data: TaskData, context: MemoryContext, **spec):
    asked = BiLstmSpec(name="bilstm", **spec)
    return methods.load(asked).compress(teacher, data, asked, context)


def with_unlabeled(task: str, *, labelled: int) -> TaskData:
    """Few rows with labels; most of the train split without."""
    data = make_data(task, train=512)
    rest = subset(data.train, np.arange(labelled, 512))
    return replace(data, train=subset(data.train, np.arange(labelled)), unlabeled=replace(rest, labels=None))


class TestStartOfWords:
    def test_is_the_table_on_its_principal_directions(self, tmp_path):
        teacher = make_teacher()
        table = teacher.network.get_input_embeddings().weight.detach()
        words = torch.nn.Embedding(len(table), 5)
        start_words(words, teacher)
        left, values, _ = torch.linalg.svd(table - table.mean(0), full_matrices=False)
        expected = left[:, :5] * values[:5]
        # Equal up to signs, order and one factor, which is then that of all distances between words.
        ratio = torch.pdist(words.weight) / torch.pdist(expected)
        assert ratio.std() / ratio.mean() < 1e-3

    def test_a_wider_table_keeps_the_rest_as_drawn(self, tmp_path):
        teacher = make_teacher()
        words = torch.nn.Embedding(teacher.architecture.vocabulary, 40)
        drawn = words.weight.detach().clone()
        start_words(words, teacher)
        assert torch.equal(words.weight[:, 32:], drawn[:, 32:])
        assert not torch.isclose(words.weight[:, :32], drawn[:, :32]).any(0).all()


class TestLessons:
    def test_joint_hears_the_labels_and_finds_the_teachers_answers(self, tmp_path):
        teacher, data = make_teacher(), with_unlabeled("text_classification", labelled=20)
        context = bilstm_context(tmp_path, teacher)
        stage_objectives = StageObjectives(teacher, data, BiLstmSpec(name="bilstm"), context)
        joint = stage_objectives.joint()
        known = (joint.split.labels >= 0).mean()
        assert 1 / 10 < known < 1 / 7
        # Each row's answer is the one of its text.
        by_text = {}
        logits = predict_logits(teacher.network, joint.split, pad_id=0, device=CPU)
        for row, answer in enumerate(logits):
            text = tuple(joint.split.ids[joint.split.offsets[row] : joint.split.offsets[row + 1]])
            assert np.allclose(by_text.setdefault(text, answer), answer, atol=1e-5)
        batch = collate(joint.split, np.array([3, 100, 400, 25]), pad_id=0, device=CPU)
        _, answers, _ = joint.objective.terms
        assert np.allclose(answers.logits_t(batch).numpy(), logits[[3, 100, 400, 25]], atol=0.05)

    def test_learns_the_last_states_of_texts_and_middle_ones_of_tokens(self, tmp_path):
        teacher, spec = make_teacher(), BiLstmSpec(name="bilstm")
        assert teacher_state(teacher, make_data("text_classification", train=8), spec) == 4
        assert teacher_state(teacher, make_data("token_classification", train=8), spec) == 2
        chosen = BiLstmSpec(name="bilstm", teacher_layer=1)
        assert teacher_state(teacher, make_data(train=8), chosen) == 1


class TestDistillation:
    def test_unlabelled_text_brings_it_nearer_to_its_teacher(self, tmp_path, teacher):
        data, rate = with_unlabeled("text_classification", labelled=16), 1e-2
        context = bilstm_context(tmp_path, teacher, epochs=10, learning_rate=rate)
        student = distil(teacher, data, context)
        as_long = bilstm_context(tmp_path, teacher, epochs=10 * 16, learning_rate=rate)  # in steps
        without = distil(teacher, replace(data, unlabeled=None), as_long)
        assert student.metrics["steps"] == without.metrics["steps"]
        assert distance(student.network, teacher, data) < 0.6 * distance(without.network, teacher, data)

    def test_joint_training_learns(self, tmp_path, teacher):
        data = with_unlabeled("text_classification", labelled=64)
        context = bilstm_context(tmp_path, teacher, epochs=10, learning_rate=1e-2)
        student = distil(teacher, data, context, training="joint")
        assert measure(student.network, data.dev, data, device=CPU)["accuracy"] > 0.72

    @pytest.mark.parametrize(
        "spec",
        [
            {"soft_targets": "labels"},
            {"representation_loss": "cosine"},
            {"representation_loss": "kld"},
            {"gradual_unfreezing": False},
        ],
    )
    def test_every_knob_learns(self, tmp_path, teacher, spec):
        data = with_unlabeled("text_classification", labelled=64)
        context = bilstm_context(tmp_path, teacher, epochs=10, learning_rate=1e-2)
        student = distil(teacher, data, context, **spec)
        assert measure(student.network, data.dev, data, device=CPU)["accuracy"] > 0.72

    def test_representations_come_nearer(self, tmp_path, teacher, data):
        context = bilstm_context(tmp_path, teacher, epochs=20, evaluations=12, learning_rate=1e-2)
        distil(teacher, data, context)
        found = [report[3]["phase_quality"] for report in context.reports if "phase_quality" in report[3]]
        assert found[-1] > 0.9 * found[0]  # below 0, which is best
        assert len(found) >= 3

    def test_tags_in_several_languages_in_one_student(self, tmp_path):
        data = with_unlabeled("token_classification", labelled=200)
        data = replace(data, train=replace(data.train, languages=["da", "sw"] * 100))
        teacher = make_teacher(task="token_classification")
        untrained = MemoryContext(tmp_path, architecture=teacher.architecture, epochs=12, learning_rate=4e-3)
        spec = FineTuningSpec(name="fine_tuning")
        methods.load(spec).compress(teacher, data, spec, untrained)
        context = bilstm_context(tmp_path, teacher, epochs=12, learning_rate=1e-2)
        student = distil(teacher, data, context)
        assert measure(student.network, data.dev, data, device=CPU)["f1"] > 0.8


def distance(network: PreTrainedModel, teacher: Teacher, data: TaskData) -> float:
    """Of its logits on dev from the teacher's, both at mean 0: squared, as a share of the teacher's."""
    ours, theirs = (
        logits - logits.mean(1, keepdims=True)
        for either in (network, teacher.network)
        for logits in [predict_logits(either, data.dev, pad_id=0, device=CPU)]
    )
    return float(np.square(ours - theirs).sum() / np.square(theirs).sum())
