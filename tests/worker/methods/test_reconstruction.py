"""What stays makes up for what goes."""

import copy

import numpy as np
import pytest
import torch

from app.domain.errors import JobCancelled
from tests.worker.compression import TEACHER_SHAPE
from tests.worker.methods.weight_inherited import (
    SELECTIONS,
    STEPS,
    dev_batch,
    make_weights,
    reconstruction_batches,
    train,
)
from worker.methods.weight_inherited import inheriting
from worker.methods.weight_inherited.reconstruction import reconstruct
from worker.methods.weight_inherited.wiring import FEATURES, GroupKey
from worker.networks.forward import forward
from worker.networks.parts import Axis
from worker.transfer.activations import capture_activations


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
