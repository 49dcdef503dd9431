"""A network of Weight-Inherited Distillation while it narrows is the teacher-sized one of the paper."""

from itertools import islice, product

import pytest
import torch

from tests.worker.compression import TEACHER_SHAPE, make_data, make_teacher
from tests.worker.methods.weight_inherited import (
    FEW_HEADS,
    SHAPES,
    STEPS,
    TARGETS,
    TASKS,
    CompactedTable,
    dev_batch,
    make_weights,
    objective_of,
    teacher_sized,
    train,
    training,
)
from worker.methods.weight_inherited.wiring import FEATURES, RESIDUAL, GroupKey
from worker.networks.forward import forward
from worker.networks.parts import Axis
from worker.networks.views import encoder_view


class TestNarrowingNetwork:
    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize(
        "family", ["bert", "roberta", "xlm-roberta", "distilbert", "deberta-v2", "modernbert"]
    )
    def test_is_the_teacher_at_step_0(self, tmp_path, task, family):
        teacher, data = make_teacher(family, task=task), make_data(task, dev=16)
        network, weights = make_weights(teacher, data, tmp_path)
        weights.fold()
        network.eval()
        batch = dev_batch(data)
        expected = forward(teacher.network.eval(), batch).logits
        assert torch.allclose(forward(network, batch).logits, expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("family", "task", "target"),
        [
            *product(["bert"], ["text_classification", "masked_language_modeling"], TARGETS),
            *product(["roberta"], ["text_regression", "masked_language_modeling"], TARGETS),
            *product(["distilbert"], ["token_classification", "masked_language_modeling"], TARGETS),
            *product(["deberta-v2"], ["text_classification"], TARGETS),
            # Its heads cannot be narrowed.
            *product(["modernbert"], ["text_classification", "masked_language_modeling"], [FEW_HEADS]),
        ],
        ids=str,
    )
    def test_equals_the_teacher_sized_one_with_compactors_in_its_graph(
        self, tmp_path, exact, target, task, family
    ):
        """While it narrows, and in the end."""
        teacher, data = make_teacher(family, task=task), make_data(task, dev=16)
        network, weights = make_weights(teacher, data, tmp_path, target=target)
        steps = training(network, weights, data)
        for taken in (12, STEPS - 12):
            for _ in islice(steps, taken):
                pass
            weights.fold()
            network.eval()
            batch = dev_batch(data)
            with torch.no_grad():
                expected = forward(teacher_sized(teacher, weights), batch).logits
                found = forward(network, batch).logits
            assert torch.allclose(found, expected, atol=1e-5 * max(1, expected.abs().max()))
            assert not torch.allclose(found, forward(teacher.network, batch).logits, atol=1e-3)
            kept = int(weights.index_groups[RESIDUAL].kept.sum())
            assert target.hidden <= kept < TEACHER_SHAPE.hidden
            assert (kept == target.hidden) == (taken != 12)

    @pytest.mark.parametrize("target", SHAPES)
    def test_ends_as_the_plain_student(self, tmp_path, target):
        teacher, data = make_teacher(), make_data()
        network, weights = make_weights(teacher, data, tmp_path, target=target)
        planned = {name: value.shape for name, value in network.state_dict().items()}
        train(network, weights, data, steps=STEPS)
        weights.release()
        assert {name: value.shape for name, value in network.state_dict().items()} == planned
        assert not any(getattr(module, "sparse", False) for module in network.modules())
        assert network.config.hidden_size == target.hidden

    def test_gradients_equal_those_through_the_graph(self, tmp_path, exact):
        teacher, data = make_teacher(), make_data()
        network, weights = make_weights(teacher, data, tmp_path)
        train(network, weights, data, steps=STEPS)
        network.eval()  # without dropout the two must agree exactly
        batch = dev_batch(data)
        trained = [p for group in weights.groups() for p in group["params"]]
        weights.materialise([batch])
        objective_of(data)(network, batch).backward()
        weights.pull_back()

        naive = teacher_sized(teacher, weights)
        kept = weights.index_groups[RESIDUAL].kept.float()
        for table in encoder_view(teacher.network, teacher.architecture).embeddings:
            naive.set_submodule(table.name, CompactedTable(table.weight.detach(), weights.words, kept))
        expected = torch.autograd.grad(objective_of(data)(naive, batch), trained)
        for parameter, gradient in zip(trained, expected, strict=True):
            assert (parameter.grad - gradient).norm() <= 5e-3 * gradient.norm() + 1e-7

    @pytest.mark.parametrize("rate", [0.0, 1e-3])
    def test_inherited_matrices_move_at_a_rate_of_their_own(self, tmp_path, rate):
        teacher, data = make_teacher(), make_data()
        network, weights = make_weights(teacher, data, tmp_path, matrices=rate)
        train(network, weights, data, steps=3)
        ffn_in = encoder_view(teacher.network, teacher.architecture).layers[0].ffn_in
        moved = (weights.linears[ffn_in.name].weight - ffn_in.weight).abs().max()
        assert moved <= 3.1 * rate
        assert (moved > 0) == (rate > 0)
        assert (weights.linears[ffn_in.name].rows != 0).any()

    @pytest.mark.parametrize("target", SHAPES)
    def test_every_consumer_of_an_index_group_agrees(self, tmp_path, target):
        """Whatever lies on indices that are gone changes nothing: not in any matrix, table, bias or norm."""
        teacher, data = make_teacher(), make_data()
        network, weights = make_weights(teacher, data, tmp_path, target=target)
        train(network, weights, data, steps=STEPS)
        weights.fold()
        network.eval()
        before = forward(network, dev_batch(data)).logits
        with torch.no_grad():
            for matrix, ends in weights.wiring.matrices.items():
                layer = weights.linears[matrix.name]
                layer.columns[~weights.index_groups[ends.columns].kept] = 100.0
                if ends.rows is not None:
                    layer.rows[~weights.index_groups[ends.rows].kept] = 100.0
            gone = ~weights.index_groups[RESIDUAL].kept
            weights.words[:, gone] = 100.0
            for vector in weights.vectors.values():
                vector[gone] = 100.0
        weights.fold()
        assert torch.equal(forward(network, dev_batch(data)).logits, before)
        sizes = {name: int(group.kept.sum()) for name, group in weights.index_groups.items()}
        assert sizes == {
            RESIDUAL: target.hidden,
            FEATURES: target.hidden,
            **{GroupKey(Axis.HEADS, layer): target.hidden for layer in range(4)},
            **{GroupKey(Axis.NEURONS, layer): target.ffn for layer in range(4)},
        }
