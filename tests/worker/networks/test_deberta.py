"""DeBERTa's configs: networks beside that in the row of the family, and those that are refused."""

import copy
import json

import pytest
import torch

from app.domain.errors import InvalidRequest
from app.intake.models.model_config import read_config
from tests.families import FAMILY_ROWS
from tests.worker.networks.test_families import LABELS, head_for, intake, stored
from worker.networks.anatomy import network_class
from worker.networks.deberta import attend_to_near_distances
from worker.networks.loading import build_network, with_labels

TASK = "text_classification"
ROW = FAMILY_ROWS["deberta-v2"]
VARIANTS = {
    "positions alone": {"position_biased_input": True, "relative_attention": False, "type_vocab_size": 2},
    "distances without norm": {"norm_rel_ebd": "none", "pos_att_type": "p2c|c2p"},
    "a bucket for each distance": {"position_buckets": -1, "pos_att_type": ["c2p"]},
    "distances up to one": {"position_buckets": -1, "max_relative_positions": 6, "pos_att_type": "p2c"},
}
UNSUPPORTED = {
    "conv_kernel_size": (3, "a convolution beside the first layer"),
    "share_att_key": (False, "share_att_key must be true"),
    "embedding_size": (12, r"embedding_size \(12\) must be 24"),
    "pooler_hidden_size": (20, r"pooler_hidden_size \(20\) must be 24"),
    "attention_head_size": (5, r"attention_head_size \(5\) must be 6"),
    "pos_att_type": (["p2p"], "pos_att_type"),
}


def raw_config(**changes):
    return {"model_type": "deberta-v2"} | ROW.settings | changes


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_has_the_tensors_that_its_config_implies(name, tmp_path):
    changes = VARIANTS[name]
    architecture = read_config(raw_config(**changes)).architecture
    class_ = network_class(architecture, TASK)
    network = class_(with_labels(class_.config_class(**raw_config(**changes)), head_for(TASK), LABELS))
    expected = architecture.tensors() | architecture.head_tensors("text", outputs=len(LABELS))
    assert stored(network, tmp_path) == expected
    config, found = intake(network, tmp_path)
    assert config.architecture == architecture
    assert found.parameters == network.num_parameters()

    other = architecture.at(ROW.other_shape)
    student = build_network(network.config, other, head_for(TASK))
    assert stored(student, tmp_path).items() >= other.tensors().items()
    assert read_config(json.loads((tmp_path / "config.json").read_text())).architecture == other


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_what_is_not_supported_is_named(key):
    value, reason = UNSUPPORTED[key]
    with pytest.raises(InvalidRequest, match=reason) as caught:
        read_config(raw_config(**{key: value}))
    assert caught.value.code == "invalid_config"


@pytest.mark.parametrize("name", ["as in the row", *VARIANTS])
@pytest.mark.parametrize("length", [1, 3, 20])
def test_a_network_computes_what_that_of_transformers_does(name, length):
    config = raw_config(**VARIANTS.get(name, {}))
    class_ = network_class(read_config(config).architecture, TASK)
    theirs = class_(with_labels(class_.config_class(**config), head_for(TASK), LABELS)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter))
        ours = copy.deepcopy(theirs)
        attend_to_near_distances(ours)
        ids = (5 + torch.arange(3 * length) % 40).view(3, length)
        mask = torch.ones_like(ids)
        mask[1, length // 2 + 1 :] = 0
        expected = theirs(ids, attention_mask=mask).logits
        assert torch.allclose(ours(ids, attention_mask=mask).logits, expected, atol=1e-4)
