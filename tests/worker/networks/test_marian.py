"""Random translation models: how wide each part is drawn."""

import pytest
import torch
from transformers import PreTrainedModel

from app.domain.architectures import EncoderDecoderShape
from tests.worker.translations import make_translator

DEEP = EncoderDecoderShape(encoder_layers=4, decoder_layers=1, hidden=64, heads=4, ffn=192)
NARROW = DEEP.model_copy(update={"decoder_hidden": 32, "decoder_heads": 2, "decoder_ffn": 96})


@pytest.fixture(scope="module", params=[DEEP, NARROW], ids=["even", "narrow"])
def network(request: pytest.FixtureRequest) -> PreTrainedModel:
    return make_translator(request.param, spread=0).network


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("encoder.layers.2.self_attn.q_proj", 1.0),
        ("encoder.layers.2.self_attn.v_proj", 0.5),
        ("encoder.layers.2.fc2", 0.5),
        ("decoder.layers.0.encoder_attn.k_proj", 1.0),
        ("decoder.layers.0.encoder_attn.out_proj", 1.0),
        ("decoder.layers.0.fc1", 1.0),
    ],
)
def test_matrices_are_xaviers_times_the_root_of_the_depth_of_a_stack(
    network: PreTrainedModel, name: str, share: float
) -> None:
    weight = network.get_parameter(f"model.{name}.weight")
    xavier = (2 / sum(weight.shape)) ** 0.5
    assert weight.std().item() == pytest.approx(share * xavier, rel=0.05)
    assert weight.abs().max() <= share * 3**0.5 * xavier  # uniform


def test_words_are_as_wide_as_sines(network: PreTrainedModel) -> None:
    decoder = network.get_submodule("model.decoder.embed_tokens").weight
    encoder = network.get_input_embeddings().weight
    for table in (encoder, decoder):
        assert (table[1:].std() * table.shape[1] ** 0.5).item() == pytest.approx(1.0, rel=0.05)
    assert network.lm_head.weight is decoder
    sines = network.get_submodule("model.encoder.embed_positions").weight
    assert torch.equal(sines[0, :2], torch.tensor([0.0, 0.0]))
    assert sines.abs().max() == 1


def test_padding_says_nothing(network: PreTrainedModel) -> None:
    assert not network.get_input_embeddings().weight[network.config.pad_token_id].any()
