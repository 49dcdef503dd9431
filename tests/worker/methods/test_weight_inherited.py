import copy
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from app.domain.architectures import EncoderShape
from app.domain.errors import JobCancelled
from app.domain.methods import WeightInheritedSpec
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, encoder_card, make_data, make_teacher
from worker import methods
from worker.data.batches import collate
from worker.distillation.objectives import LabelLoss, Masking
from worker.evaluation.evaluate import predict_logits
from worker.methods.weight_inherited import compactors as compaction
from worker.methods.weight_inherited import inheriting
from worker.methods.weight_inherited.compactors import CompactedLinear
from worker.methods.weight_inherited.head_rotation import balancing_maps, turn_heads
from worker.methods.weight_inherited.indices import IndexGroup, Schedule
from worker.methods.weight_inherited.inheriting import CompactionRates, InheritedWeights
from worker.methods.weight_inherited.reconstruction import reconstruct
from worker.methods.weight_inherited.rotation import rotate
from worker.methods.weight_inherited.wiring import FEATURES, RESIDUAL, GroupKey
from worker.networks.forward import forward
from worker.networks.parts import Axis
from worker.networks.views import encoder_view
from worker.transfer.activations import capture_activations
from worker.transfer.initialisation import calibration_batches, random_network

CPU = torch.device("cpu")
NARROW = EncoderShape(layers=4, hidden=20, heads=4, ffn=24)
FEW_HEADS = EncoderShape(layers=4, hidden=16, heads=2, ffn=24)
TASKS = ["text_classification", "text_regression", "token_classification", "masked_language_modeling"]
TARGETS = [NARROW, FEW_HEADS]
SHAPES = [pytest.param(NARROW, id="dim"), pytest.param(FEW_HEADS, id="head")]
STEPS, SELECTIONS = 20, 4


@pytest.fixture
def exact(monkeypatch):
    """Compactors in fp32, whatever the machine is fast in."""
    monkeypatch.setattr(compaction, "product_dtype", lambda values: values.dtype)


def make_weights(teacher, data, tmp_path, *, target=NARROW, selections=SELECTIONS, matrices=1e-3, **given):
    context = MemoryContext(tmp_path, architecture=teacher.architecture.at(target))
    network = random_network(teacher, data, context)
    weights = InheritedWeights(
        network,
        teacher.network,
        teacher.architecture,
        data.head,
        target=target,
        whole_heads=target == FEW_HEADS,
        schedule=Schedule(STEPS, selections),
        rates=CompactionRates(compactors=0.02, matrices=matrices, vectors=1e-3),
        batches=reconstruction_batches(data),
        **given,
    )
    return network, weights


def reconstruction_batches(data):
    return calibration_batches(data, device=CPU, tokens=500)


def objective_of(data):
    loss = LabelLoss(data.task)
    if data.task != "masked_language_modeling":
        return loss
    return Masking(loss, mask_id=data.mask_id, vocabulary=data.vocabulary)


def train(network, weights, data, *, steps):
    """Some steps of the method, with rates that move every compactor visibly."""
    torch.manual_seed(0)
    network.train()
    objective = objective_of(data)
    optimizer = torch.optim.AdamW(weights.groups(), fused=True)
    for step in range(steps):
        rows = torch.arange(step * 8, step * 8 + 8).numpy() % len(data.train)
        batch = collate(data.train, rows, pad_id=0, device=CPU)
        weights.materialise([batch])
        objective(network, batch).backward()
        weights.pull_back()
        optimizer.step()
        optimizer.zero_grad()


def compactors(layer):
    """L and R as the paper has them, of what is trained: how far they are from the identity."""
    right = torch.eye(len(layer.columns)) + layer.columns.T
    return right, None if layer.rows is None else torch.eye(len(layer.rows)) + layer.rows


class CompactedInGraph(nn.Module):
    """R (W (L x) + c) with masks on R's rows and L's columns: the paper's layer, of the teacher's size."""

    def __init__(self, layer, rows, columns):
        super().__init__()
        self.layer, self.rows, self.columns = layer, rows, columns

    def forward(self, values):
        right, left = compactors(self.layer)
        values = (values * self.columns) @ right.T @ self.layer.weight.T
        values = values if self.layer.bias is None else values + self.layer.bias
        return values if self.rows is None else (values @ left.T) * self.rows


class CompactedTable(nn.Module):
    def __init__(self, table, compactor, columns):
        super().__init__()
        self.table, self.compactor, self.columns = table, compactor, columns

    def forward(self, ids):
        return (self.table[ids] @ self.compactor) * self.columns


class MaskedNorm(nn.Module):
    def __init__(self, weight, bias, mask, eps):
        super().__init__()
        self.weight, self.bias, self.mask, self.eps = weight, bias, mask, eps

    def forward(self, values):
        mean = (values * self.mask).sum(-1, keepdim=True) / self.mask.sum()
        spread = ((values - mean) ** 2 * self.mask).sum(-1, keepdim=True) / self.mask.sum()
        normed = (values - mean) / (spread + self.eps) ** 0.5
        normed = normed * self.weight
        return (normed if self.bias is None else normed + self.bias) * self.mask


def teacher_sized(teacher, weights):
    """The network that the paper trains: every layer in the teacher's size, with masks."""
    masks = {name: group.kept.float() for name, group in weights.index_groups.items()}
    network = copy.deepcopy(teacher.network).eval()
    view = encoder_view(network, teacher.architecture)
    distances = [] if view.distances is None else [view.distances.table]
    for table in (*view.embeddings, *distances):
        table.weight.data.copy_((table.weight.data @ weights.words) * masks[RESIDUAL])
    for matrix, ends in weights.wiring.matrices.items():
        rows = None if ends.rows is None else masks[ends.rows]
        layer = CompactedInGraph(weights.linears[matrix.name], rows, masks[ends.columns])
        network.set_submodule(matrix.name, layer)
    groups = {norm.name: group for norm, group in weights.wiring.norm_groups.items()}
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.LayerNorm):
            gain, shift = (weights.vectors.get(f"{name}.{kind}") for kind in ("weight", "bias"))
            network.set_submodule(name, MaskedNorm(gain, shift, masks[groups[name]], module.eps))
    if weights.wiring.is_tied:
        name = weights.wiring.view.head.output.bias_name
        network.get_parameter(name).data.copy_(weights.vectors[name])
    return network


def dev_batch(data):
    return collate(data.dev, data.dev.lengths.argsort()[:16], pad_id=0, device=CPU)


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
    @pytest.mark.parametrize("steps", [12, STEPS])
    def test_equals_the_teacher_sized_one_with_compactors_in_its_graph(
        self, tmp_path, exact, target, task, family, steps
    ):
        teacher, data = make_teacher(family, task=task), make_data(task, dev=16)
        network, weights = make_weights(teacher, data, tmp_path, target=target)
        train(network, weights, data, steps=steps)
        weights.fold()
        network.eval()
        batch = dev_batch(data)
        sizes = {name: int(group.kept.sum()) for name, group in weights.index_groups.items()}
        assert target.hidden <= sizes[RESIDUAL] < TEACHER_SHAPE.hidden
        assert (sizes[RESIDUAL] == target.hidden) == (steps == STEPS)
        with torch.no_grad():
            expected = forward(teacher_sized(teacher, weights), batch).logits
            found = forward(network, batch).logits
        assert torch.allclose(found, expected, atol=1e-5 * max(1, expected.abs().max()))
        assert not torch.allclose(found, forward(teacher.network, batch).logits, atol=1e-3)

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


class TestRotation:
    @pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
    def test_is_the_teacher_where_norms_have_no_gains(self, tmp_path, data, family):
        teacher = make_teacher(family)
        for module in teacher.network.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        network, weights = make_weights(teacher, data, tmp_path)
        batches = calibration_batches(data, device=CPU)
        rotate(weights, teacher.network, batches)
        weights.fold()
        network.eval()
        batch = dev_batch(data)
        expected = forward(teacher.network.eval(), batch).logits
        found = forward(network, batch).logits
        assert (found - expected).abs().max() < 0.02 * expected.std()
        assert not torch.allclose(weights.words, torch.eye(32), atol=0.1)

    def test_puts_the_variance_into_few_dimensions(self, teacher, data, tmp_path):
        network, weights = make_weights(teacher, data, tmp_path)
        batches = calibration_batches(data, device=CPU)
        rotate(weights, teacher.network, batches)
        weights.fold()
        shares = []
        for one in (teacher.network, network):
            last = weights.wiring.norms[-1]
            values = capture_activations(one, batches, after=[last]).output_of(last)
            variances = values.var(0)
            shares.append(variances.topk(8).values.sum() / variances.sum())
        assert shares[1] > 1.2 * shares[0]


class TestTurnedHeads:
    def test_keep_what_distances_meet(self, data, tmp_path, exact):
        """Keys that meet distances say more than how they differ from one another."""
        teacher = make_teacher("deberta-v2")
        network, weights = make_weights(teacher, data, tmp_path)
        turn_heads(weights, teacher.network, calibration_batches(data, device=CPU), layer=1)
        weights.fold()
        batch = dev_batch(data)
        expected = forward(teacher.network.eval(), batch).logits
        torch.testing.assert_close(forward(network.eval(), batch).logits, expected, rtol=1e-4, atol=1e-5)

    @pytest.fixture
    def turned(self, teacher, data, tmp_path, exact):
        network, weights = make_weights(teacher, data, tmp_path)
        batches = calibration_batches(data, device=CPU)
        for layer in range(TEACHER_SHAPE.layers):
            turn_heads(weights, teacher.network, batches, layer=layer)
        weights.fold()
        return network.eval(), weights, batches

    def test_compute_what_the_teacher_does(self, turned, teacher, data):
        network, _, _ = turned
        batch = dev_batch(data)
        expected = forward(teacher.network.eval(), batch).logits
        torch.testing.assert_close(forward(network, batch).logits, expected, rtol=1e-4, atol=1e-5)

    def test_hold_most_of_it_in_their_first_dimensions(self, turned, teacher, data):
        network, _, batches = turned
        width = TEACHER_SHAPE.head_dim

        def lost(of):
            """What half the dimensions of each head leave out: of scores, of what is written."""
            found = []
            for layer in encoder_view(of, teacher.architecture).layers:
                query, key, output = layer.query, layer.key, layer.attention_output
                values = capture_activations(of, batches, before=[output], after=[query, key])
                sides = (values.output_of(query), values.output_of(key), values.input_of(output))
                for head in range(TEACHER_SHAPE.heads):
                    last = slice(head * width + width // 2, (head + 1) * width)
                    q, k, z = (side[:, last] for side in sides)
                    written = z @ output.weight[:, last].T
                    found.append(
                        torch.stack([(q @ (k - k.mean(0)).T).square().mean(), written.var(0).mean()])
                    )
            return torch.stack(found).mean(0)

        assert (lost(network) < 0.3 * lost(teacher.network)).all()

    def test_maps_balance_two_moments(self):
        torch.manual_seed(0)
        first, second = (torch.randn(50, 6, dtype=torch.float64) @ torch.randn(6, 6).double() for _ in "ab")
        f, s = first.T @ first, second.T @ second
        turn, inverse = (map_.double() for map_ in balancing_maps(f, s))
        torch.testing.assert_close(turn @ inverse, torch.eye(6).double(), rtol=1e-4, atol=1e-4)
        sizes = torch.linalg.eigvals(f @ s).real.sort(descending=True).values.sqrt()
        for balanced in (turn @ f @ turn.T, inverse.T @ s @ inverse):
            torch.testing.assert_close(balanced, sizes.diag(), rtol=1e-3, atol=1e-3 * float(sizes[0]))


class TestSchedule:
    @pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 1000])
    def test_goes_from_nothing_to_everything_in_equal_portions(self, steps):
        schedule = Schedule(steps, 16)
        intervals = [schedule.interval(step) for step in range(steps + 2)]
        assert intervals[0] == 0
        assert intervals[-3] < schedule.portions
        assert intervals[-2:] == [schedule.portions, schedule.portions]
        assert all(after - before in (0, 1) for before, after in pairwise(intervals))
        shares = [schedule.share(interval) for interval in range(schedule.portions + 1)]
        assert (shares[0], shares[-1]) == (0, 1)
        assert all(
            after - before == pytest.approx(1 / schedule.portions) for before, after in pairwise(shares)
        )


class TestIndexGroup:
    def test_gives_up_what_scores_lowest(self):
        group = IndexGroup(6, 2)
        group.add_scores(group.indices(), torch.tensor([3.0, -1.0, 2.0, 0.5, -4.0, 0.1]))
        group.give_up(0.5)
        assert group.indices().tolist() == [0, 1, 2, 4]
        group.give_up(1.0)
        assert group.indices().tolist() == [0, 4]

    def test_portions_are_as_equal_as_units_allow(self):
        group = IndexGroup(104, 64, unit=4)
        counts = [group.count(share / 4) for share in range(5)]
        assert counts == [104, 96, 84, 72, 64]

    def test_every_block_loses_as_many(self):
        group = IndexGroup(8, 4, unit=2, blocks=2)
        group.add_scores(group.indices(), torch.arange(8.0))
        group.give_up(1.0)
        assert group.indices().tolist() == [2, 3, 6, 7]

    def test_whole_blocks_go_by_what_they_do_together(self):
        group = IndexGroup(6, 4, unit=2, blocks=3, whole=True)
        group.add_scores(group.indices(), torch.tensor([9.0, -9.0, 1.0, 1.0, 2.0, 2.0]))
        group.give_up(1.0)
        assert group.kept.tolist() == [False, False, True, True, True, True]

    def test_ranks_anew_among_what_is_left(self):
        group = IndexGroup(4, 1)
        group.add_scores(group.indices(), torch.tensor([1.0, 2.0, 3.0, 4.0]))
        group.give_up(1 / 3)
        group.add_scores(group.indices(), torch.tensor([9.0, 0.0, 0.0]))
        group.give_up(1.0)
        assert group.kept.tolist() == [False, True, False, False]


class TestCompactedLinear:
    ROWS = torch.tensor([0, 3])
    COLUMNS = torch.tensor([1, 2, 5])

    def make(self, *, outputs, inputs):
        layer = CompactedLinear(nn.Linear(inputs, outputs), has_rows=True)
        nn.init.normal_(layer.rows)
        nn.init.normal_(layer.columns)
        return layer

    def naive(self, layer):
        """W' and c' of the definition."""
        right, left = compactors(layer)
        left, right = left[[0, 3]], right[:, [1, 2, 5]]
        return left @ layer.weight @ right, left @ layer.bias

    # Narrow from the left first where that takes fewer products, from the right where that does.
    @pytest.mark.parametrize("shape", [{"outputs": 5, "inputs": 6}, {"outputs": 5, "inputs": 40}])
    def test_equals_the_product_of_its_parts(self, exact, shape):
        layer = self.make(**shape)
        for found, expected in zip(layer(self.ROWS, self.COLUMNS), self.naive(layer), strict=True):
            assert torch.allclose(found, expected, atol=1e-5)

    @pytest.mark.parametrize("shape", [{"outputs": 5, "inputs": 6}, {"outputs": 5, "inputs": 40}])
    def test_gradients_are_those_of_the_product(self, exact, shape):
        layer = self.make(**shape)
        pull = torch.randn(2, 3)
        trained = [layer.weight, layer.rows, layer.columns]
        expected = torch.autograd.grad((self.naive(layer)[0] * pull).sum(), trained)
        found = torch.autograd.grad((layer(self.ROWS, self.COLUMNS)[0] * pull).sum(), trained)
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, atol=1e-5)

    def test_what_is_gone_has_no_gradient(self):
        layer = self.make(outputs=5, inputs=6)
        layer(self.ROWS, self.COLUMNS)[0].sum().backward()
        assert (layer.rows.grad[[0, 3]] != 0).all()
        assert (layer.rows.grad[[1, 2, 4]] == 0).all()
        assert (layer.columns.grad[[1, 2, 5]] != 0).all()
        assert (layer.columns.grad[[0, 3, 4]] == 0).all()

    def test_small_steps_are_not_lost_in_bf16(self, monkeypatch):
        monkeypatch.setattr(compaction, "product_dtype", lambda values: torch.bfloat16)
        layer = self.make(outputs=5, inputs=6)
        with torch.no_grad():
            layer.rows.mul_(1e-5)
            layer.columns.mul_(1e-5)
        weight, expected = layer(self.ROWS, self.COLUMNS)[0], self.naive(layer)[0]
        start = layer.weight[[0, 3]][:, [1, 2, 5]]
        assert (weight - expected).norm() < 0.02 * (expected - start).norm()

    def test_reads_what_it_knows_the_rest_from(self, exact):
        layer = self.make(outputs=5, inputs=6)
        matrix, offset, seen = torch.randn(3, 2), torch.randn(3), torch.randn(7, 2)
        weight, bias = layer(self.ROWS, self.COLUMNS)
        expected = (seen @ matrix.T + offset) @ weight.T + bias
        kept = torch.tensor([1, 5])
        layer.read_instead(self.COLUMNS, kept, matrix, offset)
        weight, bias = layer(self.ROWS, kept)
        torch.testing.assert_close(seen @ weight.T + bias, expected, rtol=1e-4, atol=1e-4)


class TestReconstruction:
    """What stays makes up for what goes, as well as least squares can."""

    @pytest.fixture
    def narrowed(self, teacher, data, tmp_path, exact):
        """Weights before and after a good part of all indices but a reader's own rows are given up."""
        network, weights = make_weights(teacher, data, tmp_path)
        train(network, weights, data, steps=3)
        weights.fold()
        before = copy.deepcopy(network).eval()
        old = {name: group.indices() for name, group in weights.index_groups.items()}
        for group in weights.index_groups.values():
            group.give_up(0.75)
        kept = {name: group.indices() for name, group in weights.index_groups.items()}
        batches = reconstruction_batches(data)
        reconstruct(network, weights.wiring, weights.linears, weights.vectors, batches, before=old, kept=kept)
        return before, network, weights, old, kept

    @pytest.mark.parametrize("group", [GroupKey(Axis.NEURONS, 1), GroupKey(Axis.HEADS, 2), FEATURES], ids=str)
    def test_what_goes_is_told_from_what_stays_by_ridge_regression(self, narrowed, data, group):
        before, _, weights, old, kept = narrowed
        reader = weights.wiring.reader_of(group)
        values = capture_activations(before, reconstruction_batches(data), before=[reader]).input_of(reader)
        values = values.double().numpy()
        stay = np.isin(old[group], kept[group])
        assert 0 < stay.sum() < len(stay)
        centre = values.mean(0)
        x, y = (values - centre)[:, stay], (values - centre)[:, ~stay]
        penalty = 3e-2 * (x**2).sum(0).mean()
        # A ridge is least squares with observations of zero.
        x, y = np.r_[x, penalty**0.5 * np.eye(x.shape[1])], np.r_[y, np.zeros((x.shape[1], y.shape[1]))]
        told = values.copy()
        told[:, ~stay] = centre[~stay] + (values - centre)[:, stay] @ np.linalg.lstsq(x, y)[0]
        layer = before.get_submodule(reader.name)
        expected = layer(torch.from_numpy(told).float())

        rows = weights.wiring.matrices[reader].rows
        weight, bias = weights.linears[reader.name](None if rows is None else old[rows], kept[group])
        found = torch.from_numpy(values[:, stay]).float() @ weight.T + bias
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def test_readers_of_the_stream_see_it_as_it_was(self, narrowed, data):
        before, network, weights, _, _ = narrowed
        weights.tensors()["clock"].copy_(torch.tensor([STEPS, SELECTIONS]))  # as read from a checkpoint
        weights.fold()
        wiring = weights.wiring
        readers = wiring.readers_after(wiring.norms[0])
        rows = {reader: weights.index_groups[wiring.matrices[reader].rows].kept for reader in readers}
        expected, found = (
            capture_activations(of, reconstruction_batches(data), after=readers)
            for of in (before, network.eval())
        )
        for reader in readers:
            scale = network.config.hidden_size / network.config.num_attention_heads
            scale = (scale / (TEACHER_SHAPE.hidden / TEACHER_SHAPE.heads)) ** 0.5
            scale = scale if wiring.is_query(reader) else 1.0
            wanted = expected.output_of(reader)[:, rows[reader]] * scale
            assert (found.output_of(reader) - wanted).square().mean() < 0.2 * wanted.var(0).mean()

    def test_costs_less_than_going_without(self, teacher, data, tmp_path, monkeypatch):
        def lost(weights, network):
            weights.tensors()["clock"][0] = STEPS
            weights.fold()
            batch = dev_batch(data)
            expected = forward(teacher.network.eval(), batch).logits
            return (forward(network.eval(), batch).logits - expected).square().mean()

        network, weights = make_weights(teacher, data, tmp_path)
        with_it = lost(weights, network)
        monkeypatch.setattr(inheriting, "reconstruct", lambda *_, **__: None)
        network, weights = make_weights(teacher, data, tmp_path)
        assert with_it < 0.5 * lost(weights, network)

    def test_can_be_stopped_between_two_fits(self, teacher, data, tmp_path):
        asked = []

        def on_fit(part):
            asked.append(part)
            if len(asked) == 2:
                raise JobCancelled

        network, weights = make_weights(teacher, data, tmp_path, on_fit=on_fit)
        with pytest.raises(JobCancelled):
            train(network, weights, data, steps=STEPS)
        assert asked == weights.wiring.norms[:2]


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
