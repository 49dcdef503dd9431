"""ModernBERT: what its configs may say, fused layers apart and joined, padding far behind a text."""

import json

import pytest
import torch
from transformers import ModernBertConfig

from app.domain.errors import InvalidRequest
from app.intake.models.model_config import read_config
from tests.families import FAMILY_ROWS
from tests.worker.compression import make_data, make_teacher, same_weights, saved_and_loaded
from worker.networks.fused import joined
from worker.networks.loading import save_network
from worker.numerics.kernels import training_kernels

CPU = torch.device("cpu")
ROW = FAMILY_ROWS["modernbert"]
FULL, NEAR = "full_attention", "sliding_attention"


def raw_config(**changes):
    return {"model_type": "modernbert"} | ROW.settings | changes


@pytest.fixture
def teacher(tmp_path):
    return make_teacher("modernbert")


@pytest.mark.parametrize(
    ("changes", "every"),
    [
        ({"global_attn_every_n_layers": 2}, 2),
        ({"global_attn_every_n_layers": None}, 3),
        ({"global_attn_every_n_layers": None, "layer_types": [FULL, NEAR, NEAR]}, 3),
        ({"global_attn_every_n_layers": None, "layer_types": [FULL, NEAR, FULL]}, 2),
        ({"global_attn_every_n_layers": 3, "layer_types": [FULL, FULL, FULL]}, 1),
    ],
)
def test_a_config_says_which_layers_attend_to_all_tokens(changes, every):
    config = read_config(raw_config(**changes))
    assert config.architecture.details == {"global_every": every}
    types = [FULL if layer % every == 0 else NEAR for layer in range(3)]
    assert ModernBertConfig.from_dict(config.kept).layer_types == types


def test_thetas_are_kept_in_the_keys_that_all_versions_read():
    ropes = {FULL: {"rope_type": "default", "rope_theta": 5e4}, NEAR: {"rope_type": "default"}}
    kept = read_config(raw_config(rope_parameters=ropes, local_rope_theta=2e4)).kept
    assert (kept["global_rope_theta"], kept["local_rope_theta"]) == (5e4, 2e4)
    read = ModernBertConfig.from_dict(kept).rope_parameters
    assert {kind: rope["rope_theta"] for kind, rope in read.items()} == {FULL: 5e4, NEAR: 2e4}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("layer_types", [NEAR, FULL, NEAR], "beginning with the first"),
        ("norm_bias", True, "norm_bias"),
        ("rope_scaling", {"type": "linear"}, "rope_scaling"),
        ("rope_parameters", {FULL: {"rope_type": "yarn"}}, "rope_type"),
        ("num_attention_heads", 8, "must be even"),
    ],
)
def test_what_is_not_supported_is_named(key, value, reason):
    with pytest.raises(InvalidRequest, match=reason) as caught:
        read_config(raw_config(**{key: value}))
    assert caught.value.code == "invalid_config"


def test_layers_answer_alike_apart_and_joined(teacher):
    ids = torch.arange(5, 25).unsqueeze(0)
    with torch.no_grad():
        apart = teacher.network(ids).logits
        with joined(teacher.network):
            names = dict(teacher.network.named_parameters())
            together = teacher.network(ids).logits
    assert "model.layers.0.attn.Wqkv.weight" in names
    assert "model.layers.0.attn.Wqkv.query.weight" in dict(teacher.network.named_parameters())
    assert torch.allclose(apart, together, atol=1e-6)


def test_a_stored_network_is_one_of_transformers(teacher, tmp_path):
    from transformers import ModernBertForSequenceClassification

    save_network(teacher.network, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["global_rope_theta"] == 160_000.0
    theirs, found = ModernBertForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    ids = torch.arange(5, 25).unsqueeze(0)
    with torch.no_grad():
        assert torch.allclose(theirs.eval()(ids).logits, teacher.network(ids).logits, atol=1e-6)
    loaded = saved_and_loaded(teacher.network, teacher.architecture, make_data(train=8, dev=8), tmp_path)
    assert same_weights(teacher.network, loaded)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_padding_far_behind_a_text_leaves_it_as_it_is(teacher, precision):
    """Windows are of three tokens to both sides: what is padded beyond them sees nothing that is there."""
    ids, mask = torch.zeros(32, 13, dtype=torch.int64), torch.zeros(32, 13, dtype=torch.int64)
    for row in range(32):
        length = 7 + row % 7
        ids[row, :length] = torch.arange(5, 5 + length)
        mask[row, :length] = 1
    is_half = precision is torch.bfloat16
    with training_kernels(CPU), torch.autocast("cpu", dtype=precision, enabled=is_half):
        padded = teacher.network(ids, attention_mask=mask).logits
        padded.sum().backward()
        alone = teacher.network(ids[:1, :7]).logits
    assert torch.allclose(padded[0], alone[0], atol=0.1 if is_half else 1e-5)
    assert all(weight.grad.isfinite().all() for weight in teacher.network.parameters())
