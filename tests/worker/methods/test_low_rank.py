import numpy as np
import torch

from app.domain.methods import LowRankSpec
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, encoder_card, make_data, make_teacher
from worker import methods
from worker.data.batches import collate
from worker.distillation.training_objective import label_objective
from worker.evaluation.evaluate import predict_logits
from worker.methods.low_rank.factorisation import factorise, row_fisher

CPU = torch.device("cpu")


def weighted_error(weight, product, importance):
    return float((importance[:, None] * (weight - product).square()).sum())


class TestFactorise:
    def test_full_rank_is_the_matrix(self):
        weight, importance = torch.randn(5, 8), torch.rand(5)
        for given in (None, importance):
            a, b = factorise(weight, 5, importance=given)
            assert torch.allclose(a @ b, weight, atol=1e-5)

    def test_plain_is_the_truncated_decomposition(self):
        weight = torch.randn(6, 9)
        a, b = factorise(weight, 2)
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        expected = sum(values[i] * torch.outer(left[:, i], right[i]) for i in range(2))
        assert a.shape == (6, 2)
        assert torch.allclose(a @ b, expected, atol=1e-5)
        assert torch.allclose(a.square().sum(0), b.square().sum(1), atol=1e-4)  # alike in size

    def test_weighted_is_the_best_of_its_rank_where_rows_count_differently(self):
        torch.manual_seed(0)
        weight, importance = torch.randn(6, 9), torch.tensor([100.0, 10.0, 1.0, 1.0, 0.1, 0.1])
        a, b = factorise(weight, 2, importance=importance)
        found = weighted_error(weight, a @ b, importance)
        plain_a, plain_b = factorise(weight, 2)
        assert found < 0.9 * weighted_error(weight, plain_a @ plain_b, importance)
        # Alternating least squares, which knows no decomposition, comes to the same error.
        right = torch.randn(2, 9)
        for _ in range(500):
            left = weight @ torch.linalg.pinv(right)
            root = importance.sqrt()[:, None]
            right = torch.linalg.pinv(root * left) @ (root * weight)
        assert abs(weighted_error(weight, left @ right, importance) - found) < 1e-2 * found

    def test_rows_that_nothing_depends_on_stay_finite(self):
        a, b = factorise(torch.randn(4, 4), 2, importance=torch.tensor([1.0, 0.0, 0.0, 2.0]))
        assert torch.isfinite(a @ b).all()
        a, _ = factorise(torch.randn(4, 4), 2, importance=torch.zeros(4))
        assert torch.isfinite(a).all()


def test_row_fisher_is_the_mean_squared_gradient(tmp_path):
    teacher, data = make_teacher(), make_data(train=8)
    name = "bert.encoder.layer.1.output.dense"
    objective = label_objective(data, MemoryContext(tmp_path)).objective
    batches = [collate(data.train, np.array(rows), pad_id=0, device=CPU) for rows in ([0, 1], [2, 3])]
    module = teacher.network.get_submodule(name)
    found = row_fisher(teacher.network, {name: module}, objective, batches)[name]
    expected = torch.zeros(len(found))
    for batch in batches:
        (gradient,) = torch.autograd.grad(objective(teacher.network, batch), module.weight)
        for row in range(len(found)):
            expected[row] += sum(float(g) ** 2 for g in gradient[row]) / len(batches)
    assert torch.allclose(found, expected, rtol=1e-3)
    assert module.weight.grad is None


def test_at_full_rank_the_student_starts_as_its_teacher(tmp_path):
    teacher, data = make_teacher(), make_data(train=64)
    architecture = encoder_card(shape=TEACHER_SHAPE.model_copy(update={"rank": 32}))
    context = MemoryContext(
        tmp_path, architecture=architecture, epochs=0.1, batch_size=64, learning_rate=1e-12
    )
    for factorisation in ("svd", "fisher"):
        spec = LowRankSpec(name="low_rank", factorisation=factorisation)
        student = methods.load(spec).compress(teacher, data, spec, context).network
        expected, found = (
            predict_logits(network, data.dev, pad_id=0, device=CPU) for network in (teacher.network, student)
        )
        assert np.allclose(found, expected, atol=1e-4)
