"""What Weight-Inherited Distillation is made of: rotations, schedules, index groups, compacted layers."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from tests.worker.compression import TEACHER_SHAPE, make_teacher
from tests.worker.methods.weight_inherited import CPU, compactors, dev_batch, make_weights
from worker.methods.weight_inherited import compactors as compaction
from worker.methods.weight_inherited.compactors import CompactedLinear
from worker.methods.weight_inherited.head_rotation import balancing_maps, turn_heads
from worker.methods.weight_inherited.indices import IndexGroup, Schedule
from worker.methods.weight_inherited.rotation import rotate
from worker.networks.forward import forward
from worker.networks.views import encoder_view
from worker.transfer.activations import capture_activations
from worker.transfer.initialisation import calibration_batches


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
