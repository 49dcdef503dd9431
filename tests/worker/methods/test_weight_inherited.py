"""Weight-Inherited Distillation as a method."""

import pytest
import torch
from torch import nn

from app.domain.methods import WeightInheritedSpec
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, encoder_card, make_data, make_teacher
from tests.worker.methods.weight_inherited import CPU, NARROW, TASKS
from worker import methods
from worker.evaluation.evaluate import predict_logits
from worker.networks.views import encoder_view


class TestSpec:
    def test_shares_of_the_steps_are_at_most_all_of_them(self):
        with pytest.raises(ValueError, match="at most 1"):
            WeightInheritedSpec(name="weight_inherited", prune_ratio=0.6, dense_ratio=0.5)

    def test_relations_need_a_dense_phase(self):
        with pytest.raises(ValueError, match="dense_ratio"):
            WeightInheritedSpec(name="weight_inherited", dense_ratio=0, distillation={"relation_weight": 1.0})

    @pytest.mark.parametrize("term", ["hidden_weight", "patient_weight"])
    def test_states_lie_in_directions_of_their_own(self, term):
        with pytest.raises(ValueError, match="relation_weight"):
            WeightInheritedSpec(name="weight_inherited", distillation={term: 1.0})


def logits_of(model, data):
    return torch.from_numpy(predict_logits(model.network, data.dev, pad_id=data.pad_id, device=CPU))


class TestMethod:
    @pytest.mark.parametrize("rotation", ["none", "pca"])
    def test_learns_relations_of_the_teacher(self, tmp_path, data, rotation):
        def dense_loss(distillation):
            teacher = make_teacher()
            context = MemoryContext(tmp_path, architecture=teacher.architecture.at(NARROW), epochs=1.5)
            spec = WeightInheritedSpec(
                name="weight_inherited",
                strategy="dim",
                rotation=rotation,
                distillation=distillation,
                dense_ratio=0.75,
            )
            student = methods.load(spec).compress(teacher, data, spec, context)
            assert student.network.num_parameters() == context.architecture.count(head=data.head).total
            dense = [metrics for stage, *_, metrics in context.reports if stage == "dense"]
            return next(metrics["loss"] for metrics in dense if "loss" in metrics)

        # A term can only add to the loss on labels.
        assert dense_loss({"relation_weight": 1.0, "logits_weight": 0}) > dense_loss(None) + 0.01

    @pytest.mark.parametrize("task", TASKS)
    def test_does_every_task_of_an_encoder(self, tmp_path, task):
        teacher, data = make_teacher(task=task), make_data(task, train=64, dev=16)
        context = MemoryContext(tmp_path, architecture=teacher.architecture.at(NARROW), epochs=3)
        spec = WeightInheritedSpec(
            name="weight_inherited", strategy="dim", dense_ratio=0.25, distillation=None
        )
        student = methods.load(spec).compress(teacher, data, spec, context)
        assert student.network.num_parameters() == context.architecture.count(head=data.head).total

    def test_drops_what_the_training_says(self, tmp_path, data):
        teacher = make_teacher()
        context = MemoryContext(tmp_path, architecture=teacher.architecture.at(NARROW), epochs=1, dropout=0.3)
        spec = WeightInheritedSpec(name="weight_inherited", strategy="dim", rotation="none")
        student = methods.load(spec).compress(teacher, data, spec, context)
        ratios = {m.p for m in student.network.modules() if isinstance(m, nn.Dropout)}
        assert ratios == {0.3}

    def test_one_step_inherits(self, tmp_path, data):
        """However few steps there are, the student is no random network."""
        teacher, few = make_teacher(), make_data(train=8)
        context = MemoryContext(
            tmp_path,
            architecture=teacher.architecture,
            epochs=1,
            batch_size=8,
            evaluations=1,
            learning_rate=1e-9,
        )
        spec = WeightInheritedSpec(name="weight_inherited", strategy="dim", rotation="none")
        student = methods.load(spec).compress(teacher, few, spec, context)
        assert student.metrics["steps"] == 1
        assert torch.allclose(logits_of(student, few), logits_of(teacher, few), atol=1e-3)

    def test_a_model_of_masked_words_is_not_turned(self, tmp_path):
        """The activation in its head stands between what would turn and what would turn it back."""
        task = "masked_language_modeling"
        teacher, data = make_teacher(task=task), make_data(task, train=64, dev=16)
        context = MemoryContext(tmp_path, architecture=teacher.architecture, epochs=1, learning_rate=1e-9)
        spec = WeightInheritedSpec(name="weight_inherited", strategy="dim")
        student = methods.load(spec).compress(teacher, data, spec, context)
        assert torch.allclose(logits_of(student, data), logits_of(teacher, data), atol=1e-3)

    def test_what_is_not_of_the_planned_size_yet_cannot_be_the_student(self, tmp_path, data):
        teacher = make_teacher()
        context = MemoryContext(
            tmp_path, architecture=encoder_card(shape=NARROW), epochs=2, evaluations=8, learning_rate=1e-9
        )
        spec = WeightInheritedSpec(
            name="weight_inherited", strategy="dim", prune_ratio=0.5, dense_ratio=0, distillation=None
        )
        student = methods.load(spec).compress(teacher, data, spec, context)
        assert student.metrics["best_step"] >= 8
        assert predict_logits(student.network, data.dev, pad_id=0, device=CPU).shape == (64, 2)
        assert (
            student.network.num_parameters()
            < teacher.architecture.at(TEACHER_SHAPE).count(head=data.head).total
        )

    @pytest.mark.parametrize("part", ["query", "value", "attention_output"])
    def test_a_head_without_a_say_does_no_harm(self, tmp_path, data, part):
        teacher = make_teacher()
        module = getattr(encoder_view(teacher.network, teacher.architecture).layers[1], part)
        with torch.no_grad():
            if part == "attention_output":
                module.weight.zero_()
            else:
                module.weight[:8], module.bias[:8] = 0, 0
        context = MemoryContext(tmp_path, architecture=teacher.architecture.at(NARROW), epochs=1)
        spec = WeightInheritedSpec(name="weight_inherited", strategy="dim")
        student = methods.load(spec).compress(teacher, data, spec, context)
        assert all(torch.isfinite(value).all() for value in student.network.state_dict().values())
