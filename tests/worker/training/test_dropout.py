from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from tests.worker.compression import make_teacher
from tests.worker.translations import NARROW, make_translator, translation_data
from worker.data.batches import collate
from worker.networks.forward import forward
from worker.training.dropout import set_dropout


@pytest.mark.parametrize("kind", ["bert", "distilbert", "translator"])
def test_as_much_is_dropped_as_was_asked(kind: str, tmp_path: Path) -> None:
    network: PreTrainedModel
    network = make_translator(NARROW).network if kind == "translator" else make_teacher(kind).network
    inputs = {"input_ids": torch.arange(5, 13)[None].repeat(2, 1)}
    if kind == "translator":
        inputs["decoder_input_ids"] = inputs["input_ids"]
    network.train()
    set_dropout(network, 0.0)
    assert torch.equal(network(**inputs).logits, network(**inputs).logits)
    set_dropout(network, 0.5)
    assert not torch.allclose(network(**inputs).logits, network(**inputs).logits)
    network.eval()
    assert torch.equal(network(**inputs).logits, network(**inputs).logits)


def test_half_of_the_words_are_dropped() -> None:
    data, network = translation_data(train=64), make_translator().network.train()
    set_dropout(network, 0.5)
    seen: list[torch.Tensor] = []
    hook = network.model.encoder.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    forward(
        network, collate(data.train, torch.arange(64).numpy(), pad_id=data.pad_id, device=torch.device("cpu"))
    )
    hook.remove()
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.5, abs=0.02)
