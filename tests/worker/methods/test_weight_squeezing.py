import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from app.domain.architectures import ENCODERS
from app.domain.methods import FineTuningSpec, WeightSqueezingSpec
from app.domain.tasks import Head
from tests.families import narrow_as, traits_of
from tests.worker.compression import STUDENT_SHAPE, TEACHER_SHAPE, MemoryContext, make_data, make_teacher
from worker import methods
from worker.data.batches import collate
from worker.distillation.objectives import LabelLoss
from worker.evaluation.evaluate import predict_logits
from worker.methods.weight_squeezing.initial_maps import (
    random_maps,
    selecting_maps,
    selecting_tables,
    singular_maps,
)
from worker.methods.weight_squeezing.map_generators import Generators
from worker.methods.weight_squeezing.method import gate_rate, initial_maps
from worker.methods.weight_squeezing.stack_pairs import stack_pairs
from worker.networks.loading import build_network
from worker.networks.views import encoder_view
from worker.parameterization.parameterizations import GeneratedWeights, Rates
from worker.transfer.activations import capture_activations
from worker.transfer.initialisation import calibration_batches, random_network
from worker.transfer.selection import select
from worker.transfer.subcloning import subclone

CPU = torch.device("cpu")
SMALL_MODEL = "mdl_" + "0" * 26
SPEC = WeightSqueezingSpec(name="weight_squeezing")


HEAD = Head(task="text_classification", outputs=2)
LABEL_LOSS = LabelLoss("text_classification")


def view_of(teacher):
    return encoder_view(teacher.network, teacher.architecture)


def selection_for(teacher, data, shape=STUDENT_SHAPE):
    batches = calibration_batches(data, device=CPU)
    [selection] = select(view_of(teacher), batches, student=shape, layer_map="uniform")
    return selection


def maps_of(make, teacher, selection):
    ours = view_of(teacher)
    theirs = encoder_view(make_student(teacher), teacher.architecture.at(STUDENT_SHAPE))
    pairs = stack_pairs(ours, theirs, [selection])
    return make(pairs, selecting_tables(pairs))


def subcloned(teacher, network, selection, shape=STUDENT_SHAPE):
    subclone(
        view_of(teacher),
        encoder_view(network, teacher.architecture.at(shape)),
        [selection],
    )
    return network


def logits_of(network, data):
    return torch.from_numpy(predict_logits(network, data.dev, pad_id=0, device=CPU))


class TestInitialMaps:
    @pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
    @pytest.mark.parametrize("shape", [{"heads": 2}, {"heads": 4}, {"heads": 1}], ids=str)
    def test_select_is_the_subcloned_network_at_step_0(self, tmp_path, data, family, shape):
        teacher = make_teacher(family)
        shape = STUDENT_SHAPE.model_copy(update=shape)
        if shape.head_dim > teacher.architecture.shape.head_dim:
            shape = shape.model_copy(update={"hidden": 8})
        context = MemoryContext(tmp_path, architecture=teacher.architecture.at(shape))
        selection = selection_for(teacher, data, shape)
        expected = subcloned(teacher, random_network(teacher, data, context), selection, shape)
        network = random_network(teacher, data, context)
        maps = initial_maps(
            teacher,
            network,
            data,
            WeightSqueezingSpec(name="weight_squeezing", initial_map="select"),
            context,
        )
        weights_of(network, maps).fold()
        for name, value in expected.state_dict().items():
            assert torch.allclose(network.state_dict()[name], value, atol=1e-6), name
        assert torch.allclose(logits_of(network, data), logits_of(expected, data), atol=1e-5)

    def test_svd_takes_the_largest_directions_of_the_word_table(self, teacher, data):
        maps = maps_of(singular_maps, teacher, selection_for(teacher, data))
        words = next(iter(maps.tables.values()))
        _, _, right = torch.linalg.svd(words.table, full_matrices=False)
        width = words.columns.shape[1]
        overlap = (words.columns.T @ right[:width].T).abs()
        assert torch.allclose(overlap, torch.eye(width), atol=1e-3)

    def test_svd_keeps_the_largest_singular_values(self, teacher, data):
        maps = maps_of(singular_maps, teacher, selection_for(teacher, data))
        start = maps.matrices[view_of(teacher).layers[0].ffn_in.weight_name]
        squeezed = start.rows @ start.weight @ start.columns
        values = torch.linalg.svdvals(start.weight)[: STUDENT_SHAPE.hidden]
        expected = torch.zeros_like(squeezed)
        expected.diagonal()[:] = values
        assert torch.allclose(squeezed, expected, atol=1e-4)

    def test_gauss_keeps_the_spread_of_outputs(self, teacher, data):
        torch.manual_seed(0)
        inputs_t, inputs_s = torch.randn(512, 32), torch.randn(512, 16)
        ratios = []
        for _ in range(20):
            maps = maps_of(random_maps, teacher, selection_for(teacher, data))
            start = maps.matrices[view_of(teacher).layers[0].ffn_in.weight_name]
            squeezed = start.rows @ start.weight @ start.columns
            ratios.append((inputs_s @ squeezed.T).std() / (inputs_t @ start.weight.T).std())
        assert math.isclose(torch.stack(ratios).mean(), 1, rel_tol=0.15)

    def test_heads_never_mix(self, teacher, data):
        selection = selection_for(teacher, data)
        permuted = copy.deepcopy(selection)
        for layer, heads in enumerate(selection.heads):
            permuted.heads[layer] = heads.flip(0)
            permuted.head_dims[layer] = selection.head_dims[layer].flip(0)
        outputs = []
        for chosen in (selection, permuted):
            network = subcloned(teacher, make_student(teacher), chosen)
            maps = maps_of(selecting_maps, teacher, chosen)
            weights_of(network, maps).fold()
            outputs.append(logits_of(network, data))
        assert torch.allclose(*outputs, atol=1e-5)

    @pytest.mark.parametrize(
        "family", [family for family in ENCODERS if "shared_layers" not in traits_of(family)]
    )
    def test_pca_comes_closer_to_the_teacher_than_select(self, tmp_path, data, family):
        teacher = make_teacher(family, narrow_as(family, TEACHER_SHAPE))
        student = teacher.architecture.at(narrow_as(family, STUDENT_SHAPE))
        context = MemoryContext(tmp_path, architecture=student)
        distances = {}
        for kind in ("select", "pca"):
            network = random_network(teacher, data, context)
            spec = WeightSqueezingSpec(name="weight_squeezing", initial_map=kind)
            maps = initial_maps(teacher, network, data, spec, context)
            as_started = logits_of(network, data)
            weights_of(network, maps).fold()
            assert torch.allclose(logits_of(network, data), as_started, atol=1e-4)
            distances[kind] = (logits_of(network, data) - logits_of(teacher.network, data)).square().mean()
        assert distances["pca"] < 0.7 * distances["select"]

    def test_pca_at_the_teachers_own_shape_is_the_teacher(self, tmp_path, data):
        """With nothing left out, every regression has an exact solution."""
        teacher = make_teacher()
        # A layer norm's gain does not commute with a turned basis: only without one is the identity exact.
        for module in teacher.network.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
        shape = teacher.architecture.shape
        context = MemoryContext(tmp_path, shape=shape)
        network = random_network(teacher, data, context)
        spec = WeightSqueezingSpec(name="weight_squeezing", initial_map="pca")
        initial_maps(teacher, network, data, spec, context)
        query = view_of(teacher).layers[0].query
        batches = calibration_batches(data, device=CPU)
        ours, theirs = (
            capture_activations(net, batches, after=[query]).output_of(query)
            for net in (network, teacher.network)
        )
        assert (ours - theirs).square().mean() < 0.05 * theirs.var()


def make_student(teacher):
    return build_network(teacher.network.config, teacher.architecture.at(STUDENT_SHAPE), HEAD)


def weights_of(network, maps):
    generators = Generators(network, maps, SPEC)
    return GeneratedWeights(
        network,
        matrices=generators.matrices,
        tables=generators.tables,
        rates=Rates(1e-3, 0.0),
    )


class TestReparameterizedNetwork:
    """Against a naive one: the same weights made inside the graph, for every forward pass."""

    @pytest.fixture
    def pieces(self, teacher, data):
        torch.manual_seed(0)
        network = make_student(teacher).eval()  # without dropout the two must agree exactly
        maps = maps_of(random_maps, teacher, selection_for(teacher, data))
        generators = Generators(network, maps, SPEC)
        weights = GeneratedWeights(
            network,
            matrices=generators.matrices,
            tables=generators.tables,
            rates=Rates(1e-3, 0.0),
        )
        return network, generators, weights

    def naive_logits(self, network, generators, inputs):
        made = {name: generator() for name, generator in generators.matrices.items()}
        for name, generator in generators.tables.items():
            table = network.get_parameter(name)
            made[name] = generator(torch.arange(len(table)))
        plain = copy.deepcopy(network)
        for module in plain.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = False
        rest = {n: p for n, p in network.named_parameters() if n not in made}
        return functional_call(plain, made | rest, kwargs=dict(inputs), tie_weights=False).logits

    def test_folded_network_equals_the_reparameterised_one(self, pieces, data):
        network, generators, weights = pieces
        batch = collate(data.dev, data.dev.lengths.argsort()[:16], pad_id=0, device=CPU)
        expected = self.naive_logits(network, generators, batch.inputs)
        weights.materialise([batch])
        assert torch.allclose(network(**batch.inputs).logits, expected, atol=1e-5)
        weights.fold()
        assert torch.allclose(network(**batch.inputs).logits, expected, atol=1e-5)

    @pytest.mark.parametrize("micro_batches", [1, 3])
    def test_gradients_equal_those_through_the_graph(self, pieces, data, micro_batches):
        network, generators, weights = pieces
        rows = data.train.lengths.argsort()[:24]
        parts = [collate(data.train, part, pad_id=0, device=CPU) for part in rows.reshape(micro_batches, -1)]
        trained = [p for group in weights.groups() for p in group["params"]]
        whole = collate(data.train, rows, pad_id=0, device=CPU)
        logits = self.naive_logits(network, generators, whole.inputs)
        loss = nn.functional.cross_entropy(logits, whole.labels)
        expected = torch.autograd.grad(loss, trained)

        weights.materialise(parts)
        for part in parts:
            (LABEL_LOSS(network, part) / micro_batches).backward()
        weights.pull_back()
        for parameter, gradient in zip(trained, expected, strict=True):
            assert torch.allclose(parameter.grad, gradient, atol=1e-6)

    def test_only_the_rows_of_the_batch_are_made(self, pieces, data):
        network, generators, weights = pieces
        name = next(iter(generators.tables))
        before = network.get_parameter(name).detach().clone()
        batch = collate(data.train, data.train.lengths.argsort()[:4], pad_id=0, device=CPU)
        weights.materialise([batch])
        used = torch.unique(batch.inputs["input_ids"])
        changed = (network.get_parameter(name) != before).any(1).nonzero().flatten()
        assert set(changed.tolist()) <= set(used.tolist())
        assert len(changed) > 0


class TestGatedSqueezing:
    def run(self, teacher, data, tmp_path, initial_map="select", training=None, *, dense_ratio=0.0, **gate):
        network = make_small_model(tmp_path)
        context = MemoryContext(tmp_path, models={"small_model": network}, epochs=1, **(training or {}))
        spec = WeightSqueezingSpec(
            name="weight_squeezing",
            initial_map=initial_map,
            gate={"small_model": SMALL_MODEL, **gate},
            dense_ratio=dense_ratio,
        )
        return methods.load(spec).compress(teacher, data, spec, context).network

    def test_closed_gate_is_plain_fine_tuning_of_the_small_model(self, teacher, data, tmp_path):
        gated = self.run(teacher, data, tmp_path, initial_logit=-20)
        plain = make_teacher(shape=STUDENT_SHAPE)
        context = MemoryContext(tmp_path, epochs=1)
        spec = FineTuningSpec(name="fine_tuning")
        methods.load(spec).compress(plain, data, spec, context)
        words = [*{0, *data.train.ids.tolist()}]  # the rows of others decay behind a gate, and only there
        for name, value in plain.network.state_dict().items():
            rows = words if name.endswith("word_embeddings.weight") else slice(None)
            # A bias of keys changes no attention: rounding is all its gradient, which Adam scales up.
            atol = 1e-3 if name.endswith("key.bias") else 1e-5
            assert torch.allclose(gated.state_dict()[name][rows], value[rows], atol=atol), name

    def test_an_open_gate_starts_as_the_squeezed_student(self, teacher, data, tmp_path):
        """Biases, norms and the head included."""
        opened = self.run(teacher, data, tmp_path, "pca", {"learning_rate": 1e-12}, initial_logit=20)
        context = MemoryContext(tmp_path)
        network, small = random_network(teacher, data, context), make_small_model(tmp_path)
        maps = initial_maps(teacher, network, data, SPEC, context, like=small)
        weights_of(network, maps).fold()
        assert torch.allclose(logits_of(opened, data), logits_of(network, data), atol=1e-4)

    def test_the_squeezed_stream_is_turned_to_the_small_models(self, teacher, data, tmp_path):
        small, context = make_small_model(tmp_path), MemoryContext(tmp_path)
        norm, batches = view_of(teacher).layers[0].ffn_norm, calibration_batches(data, device=CPU)
        wanted = capture_activations(small, batches, after=[norm]).output_of(norm)
        likeness = []
        for like in (None, small):
            network = random_network(teacher, data, context)
            initial_maps(teacher, network, data, SPEC, context, like=like)
            found = capture_activations(network, batches, after=[norm]).output_of(norm)
            likeness.append(torch.cosine_similarity(found, wanted, dim=1).mean())
        assert likeness[1] > likeness[0] + 0.1

    def test_a_gate_can_open_in_a_training_of_any_length(self):
        """At the rate of weights a logit would stay where it is."""
        for steps, rate in [(100, 5e-4), (5000, 5e-4), (100, 5e-5)]:
            decaying = rate * gate_rate(steps, rate) * steps / 2
            assert decaying == pytest.approx(8)
        assert gate_rate(10**6, 5e-4) == 1
        assert gate_rate(1, 1e-3) * 1e-3 == pytest.approx(0.5)  # and does not jump

    def test_few_steps_squeeze_too(self, teacher, data, tmp_path):
        """What has no gate has taken all of the squeezed network's: the rest must not be the small one's."""
        rarely = {"learning_rate": 1e-12, "batch_size": 64}
        found = [
            self.run(teacher, data, tmp_path, "pca", rarely, dense_ratio=ratio, initial_logit=20)
            for ratio in (0.0, 0.9)
        ]
        assert torch.allclose(*(logits_of(network, data) for network in found), atol=1e-4)

    @pytest.mark.parametrize("granularity", ["matrix", "row", "element", "layer"])
    def test_open_gate_changes_the_result(self, teacher, data, tmp_path, granularity):
        closed = self.run(teacher, data, tmp_path, initial_logit=-20, granularity=granularity)
        opened = self.run(teacher, data, tmp_path, initial_logit=0, granularity=granularity)
        assert not torch.allclose(logits_of(closed, data), logits_of(opened, data), atol=1e-2)


def make_small_model(folder):
    return make_teacher(shape=STUDENT_SHAPE).network


@pytest.mark.parametrize("task", ["text_classification", "masked_language_modeling"])
@pytest.mark.parametrize("initial_map", ["pca", "select"])
def test_a_factorised_word_table_is_squeezed_and_widened(tmp_path, task, initial_map):
    """At step 0 it is the best product of its width for the squeezed table; then both factors train."""
    teacher, data = make_teacher(task=task), make_data(task, train=64, dev=8)
    shape = STUDENT_SHAPE.model_copy(update={"embedding": 6})
    products = {}
    for rate in (1e-9, 1e-3):
        context = MemoryContext(tmp_path, shape=shape, epochs=1, learning_rate=rate)
        spec = WeightSqueezingSpec(name="weight_squeezing", initial_map=initial_map)
        student = methods.load(spec).compress(teacher, data, spec, context).network
        assert student.num_parameters() == context.architecture.count(head=data.head).total
        narrow, widen = student.get_input_embeddings()
        products[rate] = (narrow.weight @ widen.weight.T).detach()
    context = MemoryContext(tmp_path, shape=STUDENT_SHAPE)
    network = random_network(teacher, data, context)
    whole = initial_maps(teacher, network, data, spec, context).tables[
        "bert.embeddings.word_embeddings.weight"
    ]
    left, values, right = torch.linalg.svd(whole.table @ whole.columns, full_matrices=False)
    assert torch.allclose(products[1e-9], left[:, :6] * values[:6] @ right[:6], atol=1e-4)
    assert not torch.allclose(products[1e-3], products[1e-9], atol=1e-3)
