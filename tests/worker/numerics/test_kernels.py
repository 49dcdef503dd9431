import pytest
import torch
from torch.nn import functional

from tests.worker.compression import make_teacher
from worker.numerics.kernels import attention, dropout, training_kernels

CPU = torch.device("cpu")


class TestDropout:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
    def test_drops_that_share_and_keeps_the_mean(self, p, dtype):
        torch.manual_seed(0)
        found = dropout(torch.ones(301, 1003, dtype=dtype), p)
        assert found.dtype == dtype
        share = (found == 0).double().mean()
        assert abs(share - p) < 4 * (p * (1 - p) / found.numel()) ** 0.5
        expected = torch.tensor(1 / (1 - p), dtype=dtype)
        torch.testing.assert_close(
            found[found != 0], expected.expand(int((found != 0).sum())), rtol=1e-3, atol=0
        )

    def test_elements_are_dropped_independently(self):
        torch.manual_seed(0)
        kept = (dropout(torch.ones(1 << 20), 0.5) != 0).double() - 0.5
        for lag in (1, 2, 3, 4, 8, 64):
            assert abs((kept[lag:] * kept[:-lag]).mean()) < 4 * 0.25 / len(kept) ** 0.5

    def test_gradients_go_where_values_went(self):
        torch.manual_seed(0)
        values = torch.randn(7, 13, requires_grad=True)
        found = dropout(values, 0.3)
        upstream = torch.randn(7, 13)
        found.backward(upstream)
        kept = found.detach() != 0
        torch.testing.assert_close(values.grad, torch.where(kept, upstream / 0.7, 0.0), rtol=1e-4, atol=0)

    def test_a_seed_draws_the_same(self):
        drawn = []
        for _ in range(2):
            torch.manual_seed(3)
            drawn.append([dropout(torch.ones(50), 0.5) for _ in range(2)])
        torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)
        assert not torch.equal(*drawn[0])

    def test_nothing_and_everything(self):
        values = torch.randn(9)
        assert dropout(values, 0.0) is values
        assert dropout(values, 0.5, training=False) is values
        assert torch.equal(dropout(values, 1.0), torch.zeros(9))


class TestAttention:
    @pytest.mark.parametrize("mask", ["none", "seen", "added", "causal", "scaled"])
    def test_is_what_torch_computes(self, mask):
        torch.manual_seed(0)
        states = [torch.randn(2, 3, length, 8, requires_grad=True) for length in (5, 7, 7)]
        seen = torch.rand(2, 1, 5, 7) < 0.7
        seen[..., 0] = True
        more = {
            "none": {},
            "seen": {"attn_mask": seen},
            "added": {"attn_mask": torch.randn(2, 1, 5, 7)},
            "causal": {"is_causal": True},
            "scaled": {"scale": 0.2},
        }[mask]
        upstream = torch.randn(2, 3, 5, 8)
        results = []
        for one in (attention, functional.scaled_dot_product_attention):
            output = one(*states, **more)
            results.append([output, *torch.autograd.grad(output, states, upstream)])
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)

    def test_weights_drop_out(self):
        torch.manual_seed(0)
        query, key = torch.zeros(4, 2, 50, 8), torch.zeros(4, 2, 64, 8)
        value = torch.eye(64).expand(4, 2, 64, 64)
        weights = attention(query, key, value, dropout_p=0.25)
        assert abs((weights == 0).double().mean() - 0.25) < 0.02
        kept = weights[weights != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / 64 / 0.75))


class TestContext:
    def test_models_of_other_libraries_compute_with_it(self, tmp_path):
        """A network of transformers draws what our dropout draws, and is what it was where none drops out."""
        network = make_teacher().network
        inputs = {
            "input_ids": torch.arange(5, 17).view(2, 6),
            "attention_mask": torch.ones(2, 6, dtype=torch.int64),
        }
        network.eval()
        plain = network(**inputs).logits
        with training_kernels(CPU):
            torch.testing.assert_close(network(**inputs).logits, plain, rtol=1e-4, atol=1e-5)
            network.train()
            torch.manual_seed(0)
            network(**inputs)
            ours = torch.get_rng_state()
        torch.manual_seed(0)
        network(**inputs)
        assert not torch.equal(ours, torch.get_rng_state())

    def test_nothing_else_changes(self):
        with training_kernels(CPU):
            torch.manual_seed(0)
            inside = dropout(torch.ones(20), 0.5)
            torch.manual_seed(0)
            assert torch.equal(functional.dropout(torch.ones(20), 0.5), inside)
            assert torch.equal(torch.nn.Dropout(0.5).eval()(torch.ones(3)), torch.ones(3))
        torch.manual_seed(0)
        assert not torch.equal(functional.dropout(torch.ones(2000), 0.5), dropout(torch.ones(2000), 0.5))
