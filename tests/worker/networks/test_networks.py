import numpy as np
import pytest
import torch
from torch import nn

from app.domain.architectures import ENCODERS, EncoderShape
from app.domain.tasks import Head
from tests.worker.compression import (
    DIMENSIONS,
    STUDENT_SHAPE,
    TASK_LABELS,
    TEACHER_SHAPE,
    MemoryContext,
    make_data,
    make_teacher,
)
from worker.networks.loading import build_network
from worker.networks.views import encoder_view
from worker.numerics.least_squares import (
    fit_norm,
    nearest_rotation,
    principal_directions,
    ridge_regression,
)
from worker.transfer.activations import capture_activations
from worker.transfer.initialisation import calibration_batches
from worker.transfer.selection import map_layers, select
from worker.transfer.subcloning import subclone

CPU = torch.device("cpu")
HEAD = Head(task="text_classification", outputs=2)


@pytest.mark.parametrize("task", list(TASK_LABELS))
@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("shape", [TEACHER_SHAPE, STUDENT_SHAPE], ids=str)
def test_planner_counts_what_the_network_holds(tmp_path, family, shape, task):
    teacher = make_teacher(family)
    head = Head.of(
        task,
        labels=len(TASK_LABELS[task]),
        vocabulary=teacher.architecture.vocabulary,
        dimensions=DIMENSIONS,
    )
    network = build_network(teacher.network.config, teacher.architecture.at(shape), head)
    assert network.num_parameters() == teacher.architecture.at(shape).count(head=head).total


class TestMapLayers:
    @pytest.mark.parametrize(
        ("kind", "expected"),
        [("uniform", [1, 3, 5]), ("first", [0, 1, 2]), ("last", [3, 4, 5]), ("outer", [0, 1, 5])],
    )
    def test_six_to_three(self, kind, expected):
        assert map_layers(kind, teacher=6, student=3) == expected

    def test_twelve_to_eight_is_the_papers_example(self):
        assert map_layers("uniform", teacher=12, student=8) == [0, 2, 3, 5, 6, 8, 9, 11]


class TestSubclone:
    def test_equals_copying_number_by_number(self, tmp_path):
        teacher = make_teacher()
        network = build_network(teacher.network.config, teacher.architecture.at(STUDENT_SHAPE), HEAD)
        batches = calibration_batches(make_data(), device=CPU)
        view = encoder_view(teacher.network, teacher.architecture)
        [chosen] = select(view, batches, student=STUDENT_SHAPE, layer_map="uniform")
        subclone(view, encoder_view(network, teacher.architecture.at(STUDENT_SHAPE)), [chosen])
        source = teacher.network.bert.encoder.layer[chosen.layers[1]]
        target = network.bert.encoder.layer[1]
        query = [
            int(h) * 8 + int(d)
            for h, dims in zip(chosen.heads[1], chosen.head_dims[1], strict=True)
            for d in dims
        ]
        for i, row in enumerate(query):
            for j, column in enumerate(chosen.residual.tolist()):
                expected = source.attention.self.query.weight[row, column] * (32 / 16) ** 0.5
                assert torch.isclose(target.attention.self.query.weight[i, j], expected)
        for i, row in enumerate(chosen.residual.tolist()):
            for j, column in enumerate(chosen.neurons[1].tolist()):
                expected = source.output.dense.weight[row, column] * (64 / 24) ** 0.5
                assert torch.isclose(target.output.dense.weight[i, j], expected)

    def test_at_the_teachers_own_shape_is_the_teacher(self, tmp_path):
        teacher = make_teacher()
        network = build_network(teacher.network.config, teacher.architecture, HEAD)
        batches = calibration_batches(make_data(), device=CPU)
        view = encoder_view(teacher.network, teacher.architecture)
        [chosen] = select(view, batches, student=TEACHER_SHAPE, layer_map="uniform")
        subclone(view, encoder_view(network, teacher.architecture.at(TEACHER_SHAPE)), [chosen])
        theirs = teacher.network.state_dict()
        for name, value in network.state_dict().items():
            assert torch.allclose(value, theirs[name], atol=1e-6), name


class TestSelect:
    def test_keeps_the_neurons_of_the_largest_activations(self, tmp_path):
        teacher = make_teacher()
        large = [3, 20, 41]
        with torch.no_grad():
            for layer in teacher.network.bert.encoder.layer:
                layer.intermediate.dense.bias[large] += 50
        batches = calibration_batches(make_data(), device=CPU)
        student = EncoderShape(layers=2, hidden=16, heads=2, ffn=8)
        view = encoder_view(teacher.network, teacher.architecture)
        [chosen] = select(view, batches, student=student, layer_map="uniform")
        for neurons in chosen.neurons:
            assert set(large) <= set(neurons.tolist())


class TestCaptureActivations:
    def test_holds_each_token_that_is_there_once(self, tmp_path):
        teacher, data = make_teacher(), make_data(train=40)
        batches = calibration_batches(data, device=CPU)
        norm = encoder_view(teacher.network, teacher.architecture).embedding_norm
        values = capture_activations(teacher.network, batches, before=[norm], after=[norm])
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        assert values.input_of(norm).shape == values.output_of(norm).shape == (tokens, 32)
        assert torch.allclose(norm.layer(values.input_of(norm)), values.output_of(norm), atol=1e-5)


class TestRegression:
    def test_finds_an_affine_map_that_is_there(self):
        inputs, matrix, offset = torch.randn(500, 6), torch.randn(3, 6), torch.randn(3)
        found, shift = ridge_regression(inputs, inputs @ matrix.T + offset, ridge=1e-9)
        assert torch.allclose(found, matrix, atol=1e-4)
        assert torch.allclose(shift, offset, atol=1e-4)

    def test_equals_least_squares_of_numpy(self):
        inputs, outputs = torch.randn(100, 5), torch.randn(100, 2)
        found, shift = ridge_regression(inputs, outputs, ridge=0.0)
        design = np.concatenate([inputs.numpy(), np.ones((100, 1))], axis=1)
        expected, *_ = np.linalg.lstsq(design, outputs.numpy(), rcond=None)
        assert np.allclose(found.numpy(), expected[:-1].T, atol=1e-4)
        assert np.allclose(shift.numpy(), expected[-1], atol=1e-4)

    @pytest.mark.parametrize("rows", [1, 3])
    def test_maps_equal_inputs_to_the_mean_output(self, rows):
        inputs, outputs = torch.randn(1, 5).expand(rows, 5), torch.randn(rows, 2)
        found, shift = ridge_regression(inputs, outputs, ridge=1e-3)
        assert torch.allclose(found @ inputs[0] + shift, outputs.mean(0), atol=1e-5)

    def test_nearest_rotation_finds_the_one_that_was_used(self):
        values = torch.randn(40, 5)
        rotation = torch.linalg.qr(torch.randn(5, 5)).Q
        assert torch.allclose(nearest_rotation(values, values @ rotation), rotation, atol=1e-5)

    def test_principal_directions_are_those_of_the_singular_values(self):
        values = torch.randn(300, 6) * torch.tensor([5.0, 4.0, 3.0, 0.2, 0.1, 0.1])
        found = principal_directions(values, 3)
        right = torch.linalg.svd(values - values.mean(0)).Vh[:3].T
        assert torch.allclose(found.T @ found, torch.eye(3), atol=1e-5)
        assert torch.allclose(found @ found.T, right @ right.T, atol=1e-4)

    def test_fit_norm_recovers_gain_and_shift(self):
        norm = nn.LayerNorm(8)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        inputs = torch.randn(400, 8) * 3 + 1
        gain, shift = fit_norm(inputs, norm(inputs).detach(), eps=norm.eps)
        assert torch.allclose(gain, norm.weight, atol=1e-4)
        assert torch.allclose(shift, norm.bias, atol=1e-4)

    def test_fit_norm_answers_the_one_output_that_it_saw(self):
        inputs, outputs = torch.randn(1, 8), torch.randn(1, 8)
        gain, shift = fit_norm(inputs, outputs, eps=1e-5)
        assert torch.equal(gain, torch.zeros(8))
        assert torch.equal(shift, outputs[0])


def test_capturing_runs_a_network_as_far_as_it_must(tmp_path):
    teacher, data = make_teacher(), make_data()
    network = teacher.network
    batches = calibration_batches(data, device=CPU)
    ran = []
    network.bert.encoder.layer[1].register_forward_hook(lambda *_: ran.append("layer 1"))
    network.bert.encoder.layer[2].register_forward_hook(lambda *_: ran.append("layer 2"))
    norm = encoder_view(network, teacher.architecture).layers[1].ffn_norm
    found = capture_activations(network, batches, before=[norm], after=[norm])
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert len(found.input_of(norm)) == len(found.output_of(norm)) == tokens
    assert ran == []  # layer 1 ends with that norm, and what comes after it nobody asked for


def test_calibration_batches_are_the_same_for_every_job(tmp_path):
    data, context = make_data(), MemoryContext(tmp_path)
    one, other = (calibration_batches(data, device=context.device) for _ in range(2))
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(one, other, strict=True))
