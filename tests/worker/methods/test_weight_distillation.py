import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.domain.methods import WeightDistillationSpec
from tests.worker.compression import STUDENT_SHAPE, MemoryContext, encoder_card, make_data, make_teacher
from tests.worker.translations import (
    NARROW,
    SHALLOW,
    SMALL,
    make_translator,
    translation_card,
    translation_data,
)
from worker import methods
from worker.contracts import RunContext, TaskData, Teacher
from worker.data.batches import collate
from worker.methods.weight_distillation.generator import GeneratedWeight, LayerMix
from worker.methods.weight_distillation.grouping import LayerGroups, random_generator
from worker.methods.weight_distillation.method import (
    copy_selected,
    random_generators,
    selecting_generators,
)
from worker.networks.forward import forward
from worker.networks.loading import build_network
from worker.networks.views import encoder_view
from worker.parameterization.maps import map_columns, map_rows
from worker.parameterization.parameterizations import GeneratedWeights, Rates
from worker.transfer.initialisation import random_network

CPU = torch.device("cpu")


def naive(
    group: Tensor, *, rows: Tensor, columns: Tensor, mixer: Tensor, weights: Tensor, scale: float
) -> Tensor:
    """tanh of section 3.1's sums, number by number."""
    layers, height, width = group.shape
    found = torch.zeros(rows.shape[1], columns.shape[1])
    for o in range(rows.shape[1]):
        for i in range(columns.shape[1]):
            u = 0.0
            for layer in range(layers):
                mixed = sum(
                    float(group[k, p, q] * rows[p, o] * columns[q, i] * mixer[k, layer])
                    for k in range(layers)
                    for p in range(height)
                    for q in range(width)
                )
                u += mixed * float(weights[layer])
            found[o, i] = math.tanh(scale * u)
    return found


class TestGeneratedWeight:
    def test_equals_the_papers_sums(self) -> None:
        torch.manual_seed(0)
        group, rows, columns = torch.randn(2, 4, 5), torch.randn(4, 3), torch.randn(5, 2)
        mixer, weights = torch.randn(2, 2), torch.randn(2)
        made = GeneratedWeight(
            group,
            mix=LayerMix(mixer, weights),
            rows=torch.nn.Parameter(rows),
            columns=torch.nn.Parameter(columns),
        )
        with torch.no_grad():
            made.scaling.normal_()
            made.shift.normal_()
        expected = naive(group, rows=rows, columns=columns, mixer=mixer, weights=weights, scale=1.0)
        assert torch.allclose(made(), made.scaling * expected + made.shift, atol=1e-5)

    def test_vectors_have_rows_alone(self) -> None:
        group, rows = torch.randn(2, 4), torch.randn(4, 3)
        weights = torch.randn(2)
        made = GeneratedWeight(group, mix=LayerMix(torch.eye(2), weights), rows=torch.nn.Parameter(rows))
        expected = torch.tanh((weights[0] * group[0] + weights[1] * group[1]) @ rows)
        assert torch.allclose(made(), expected, atol=1e-6)

    def test_what_is_kept_is_scaled_and_shifted(self) -> None:
        weight = torch.randn(3, 4)
        plain, started = GeneratedWeight(weight[None]), GeneratedWeight(weight[None], start=weight)
        assert torch.equal(plain(), torch.tanh(weight))
        assert torch.allclose(started(), weight, atol=1e-6)
        assert not started.rate_ratios()
        assert {name for name, _ in started.named_parameters()} == {"scaling", "shift"}

    @pytest.mark.parametrize("scale", [0.5, 3.0])
    def test_starts_where_it_is_told_to(self, scale: float) -> None:
        group, rows = torch.randn(1, 4, 5), torch.eye(4)[:, [0, 2]]
        start = scale * group[0, [0, 2]]
        made = GeneratedWeight(group, rows=torch.nn.Parameter(rows), start=start)
        assert torch.allclose(made(), start, atol=1e-6)
        # What is left to B is what tanh takes away.
        assert torch.allclose(made.shift, start - torch.tanh(start), atol=1e-5)

    def test_blocks_equal_a_block_diagonal_map(self) -> None:
        blocks, weight = torch.randn(2, 3, 2), torch.randn(6, 6)
        whole = torch.block_diag(*blocks)
        assert torch.allclose(map_rows(blocks.mT, weight), whole.T @ weight, atol=1e-5)
        assert torch.allclose(map_columns(weight, blocks), weight @ whole, atol=1e-5)

    @pytest.mark.parametrize("shape", [(6, 3), (2, 3, 2)])
    def test_rates_are_what_an_entry_moves_by(self, shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        group, rows = torch.randn(1, 6, 5) * 5, torch.nn.Parameter(torch.randn(shape))
        columns = torch.nn.Parameter(torch.randn(5, 4))
        start = torch.randn(map_rows(rows.mT, group[0]).shape[0], 4) * 9
        made = GeneratedWeight(group, rows=rows, columns=columns, start=start, is_rated=True)
        ratios = dict(made.rate_ratios())
        for which, parameter in enumerate((rows, columns)):
            slopes = torch.autograd.functional.jacobian(
                lambda rows, columns: made.scale * map_columns(map_rows(rows.mT, group[0]), columns),
                (rows.detach(), columns.detach()),
            )[which]
            moved = slopes.abs().flatten(2).sum(2).mean()  # of an entry, all of the map moving by one
            assert moved > 1
            assert ratios[parameter] == pytest.approx(float(1 / moved), rel=0.01)  # gradients may be bf16


def encoder_case(folder: Path) -> tuple[Teacher, TaskData, RunContext]:
    return (
        make_teacher(),
        make_data(),
        MemoryContext(folder, architecture=encoder_card(shape=STUDENT_SHAPE)),
    )


def translator_case(folder: Path, shape: object) -> tuple[Teacher, TaskData, RunContext]:
    return make_translator(), translation_data(), MemoryContext(folder, architecture=translation_card(shape))


CASES = {
    "encoder": encoder_case,
    "shallow": lambda folder: translator_case(folder, SHALLOW),
    "narrow": lambda folder: translator_case(folder, NARROW),
    "small": lambda folder: translator_case(folder, SMALL),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Teacher, TaskData, RunContext]:
    return CASES[request.param](tmp_path)


class TestSelect:
    def test_step_0_is_the_subcloned_student(self, case: tuple[Teacher, TaskData, RunContext]) -> None:
        teacher, data, context = case
        network = random_network(teacher, data, context)
        stacks = copy_selected(teacher, network, data, context)
        batch = collate(data.dev, np.arange(8), pad_id=data.pad_id, device=CPU)
        before = forward(network, batch).logits
        matrices = selecting_generators(stacks)
        weights = GeneratedWeights(network, matrices=matrices, tables={}, rates=Rates(1e-3, 0.0))
        weights.fold()
        assert torch.allclose(forward(network, batch).logits, before, atol=1e-5)
        # u is near the start itself: B is left only what tanh takes away.
        for name, generator in matrices.items():
            start = network.get_parameter(name)
            assert torch.allclose(generator.shift, start - torch.tanh(start), atol=1e-5), name

    def test_every_layer_of_a_group_gets_a_gradient(self, case: tuple[Teacher, TaskData, RunContext]) -> None:
        teacher, data, context = case
        network = random_network(teacher, data, context)
        matrices = selecting_generators(copy_selected(teacher, network, data, context))
        mixes = [generator.mix for generator in matrices.values() if generator.mix is not None]
        assert mixes
        weights = GeneratedWeights(network, matrices=matrices, tables={}, rates=Rates(1e-3, 0.0))
        batch = collate(data.dev, np.arange(8), pad_id=data.pad_id, device=CPU)
        weights.materialise([batch])
        forward(network, batch).logits.square().mean().backward()
        weights.pull_back()
        for mix in mixes:
            assert (mix.weights.grad != 0).all()
            assert (mix.mixer.grad[:, -1] != 0).all()

    def test_what_streams_share_is_one_map(self, tmp_path: Path) -> None:
        teacher, data, context = translator_case(tmp_path, SMALL)
        network = random_network(teacher, data, context)
        made = selecting_generators(copy_selected(teacher, network, data, context))
        decoder = "model.decoder.layers.0"
        read = made["model.encoder.layers.0.fc1.weight"].columns
        assert made[f"{decoder}.encoder_attn.k_proj.weight"].columns is read
        own = made[f"{decoder}.fc1.weight"].columns
        assert own is made[f"{decoder}.fc2.weight"].rows is made[f"{decoder}.self_attn.q_proj.weight"].columns
        assert own is not read


class TestXavier:
    def test_what_is_kept_is_tanh_and_the_rest_is_near_nothing(self, tmp_path: Path) -> None:
        teacher, data, context = translator_case(tmp_path, NARROW)
        network = random_network(teacher, data, context)
        stacks = copy_selected(teacher, network, data, context)
        made = random_generators(stacks, context)
        kept = "model.encoder.layers.1.self_attn_layer_norm.weight"
        assert torch.equal(made[kept](), torch.tanh(teacher.network.get_parameter(kept)))
        table = "model.encoder.embed_tokens.weight"
        assert torch.equal(made[table](), torch.tanh(teacher.network.get_parameter("model.shared.weight")))
        trained = dict(network.named_parameters())
        assert made.keys() == {name for name, value in trained.items() if value.requires_grad}
        for name, generator in made.items():
            assert generator().shape == trained[name].shape, name

    def test_numbers_are_those_of_the_paper(self) -> None:
        made = random_generator(torch.randn(3, 8, 6), torch.Size((4, 5)), mixes=True)
        expected = 8 * 4 + 6 * 5 + 3 * 3 + 3 + 2 * 4 * 5
        assert sum(parameter.numel() for parameter in made.parameters()) == expected

    def test_trains(self, tmp_path: Path) -> None:
        teacher, data, context = encoder_case(tmp_path)
        spec = WeightDistillationSpec(name="weight_distillation", initial_generator="xavier")
        student = methods.load(spec).compress(teacher, data, spec, context)
        assert student.network.num_parameters() == context.architecture.count(head=data.head).total


class TestPhases:
    @pytest.mark.parametrize(("ratio", "expected"), [(0.5, {"generator", "weights"}), (1.0, {"generator"})])
    def test_ratio_parts_the_steps(self, ratio: float, expected: set[str], tmp_path: Path) -> None:
        teacher, data, context = encoder_case(tmp_path)
        spec = WeightDistillationSpec(name="weight_distillation", generator_ratio=ratio, distillation=None)
        methods.load(spec).compress(teacher, data, spec, context)
        assert {report[0] for report in context.reports} == expected

    def test_a_depth_that_does_not_divide_is_refused(self, tmp_path: Path) -> None:
        teacher = make_teacher()
        three = STUDENT_SHAPE.model_copy(update={"layers": 3})
        architecture, head = teacher.architecture.at(three), make_data(train=8, dev=8).head
        network = build_network(teacher.network.config, architecture, head)
        view = encoder_view(teacher.network, teacher.architecture)
        with pytest.raises(ValueError, match="do not divide"):
            LayerGroups(view, encoder_view(network, architecture), None)
