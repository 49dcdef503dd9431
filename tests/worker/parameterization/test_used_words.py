import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worker.compression import MemoryContext, make_data, make_teacher
from worker.data.batches import collate, subset
from worker.distillation.objectives import LabelLoss
from worker.distillation.training_objective import label_objective
from worker.parameterization.parameterizations import DenseWeights, Rates

CPU = torch.device("cpu")
STEPS = 3


def few_words():
    """Rows that do not have all words."""
    data = make_data()
    return replace(data, train=subset(data.train, np.arange(12)))


def train(network, weights, data):
    network.train()
    optimizer = torch.optim.AdamW(weights.groups(), fused=True)
    for step in range(STEPS):
        torch.manual_seed(step)  # the same dropout in two trainings
        batch = collate(data.train, np.arange(4 * step, 4 * step + 4), pad_id=0, device=CPU)
        weights.materialise([batch])
        LabelLoss(data.task)(network, batch).backward()
        weights.pull_back()
        optimizer.step()
        optimizer.zero_grad()


def table_of(network):
    return network.get_input_embeddings().weight.detach()


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_training_goes_as_with_the_whole_table(tmp_path, family):
    data = few_words()
    network = make_teacher(family).network
    other, before = copy.deepcopy(network), table_of(network).clone()
    words = np.union1d(data.train.ids, [0])
    assert len(words) < len(before)
    whole, used = DenseWeights(other, Rates(1e-2, 0.0)), DenseWeights(network, Rates(1e-2, 0.0), words=words)
    train(other, whole, data)
    train(network, used, data)
    used.release()
    for (name, one), two in zip(network.named_parameters(), other.parameters(), strict=True):
        assert one.requires_grad, name
        assert torch.allclose(one, two, atol=1e-6), name
    assert not torch.allclose(table_of(network), before)


def test_words_that_no_text_holds_stay_as_they_are(tmp_path):
    data, network = few_words(), make_teacher().network
    before, words = table_of(network).clone(), np.union1d(data.train.ids, [0])
    weights = DenseWeights(network, Rates(1e-2, 0.1), words=words)
    train(network, weights, data)
    weights.fold()
    changed = (table_of(network) != before).any(1).numpy().nonzero()[0]
    assert set(changed) == set(words)  # padding has no gradient, but decays


def test_whoever_evaluates_sees_what_was_trained(tmp_path):
    data, network = few_words(), make_teacher().network
    weights = DenseWeights(network, Rates(1e-2, 0.0), words=np.union1d(data.train.ids, [0]))
    train(network, weights, data)
    batch = collate(data.dev, np.arange(8), pad_id=0, device=CPU)  # with words that train does not have
    weights.fold()
    folded = network.eval()(**batch.inputs).logits
    weights.release()
    assert torch.equal(network(**batch.inputs).logits, folded)


def test_a_word_that_should_not_be_there_is_an_error(tmp_path):
    data, network = few_words(), make_teacher().network
    DenseWeights(network, Rates(1e-2, 0.0), words=np.union1d(data.train.ids, [0])[:-1])
    batch = collate(data.train, np.arange(12), pad_id=0, device=CPU)
    with pytest.raises(IndexError):
        network.train()(**batch.inputs)


def test_a_table_that_is_also_the_output_trains_whole(tmp_path):
    task = "masked_language_modeling"
    network = make_teacher(task=task).network
    weights = DenseWeights(network, Rates(1e-2, 0.0), words=np.arange(3))
    assert any(p is network.get_input_embeddings().weight for g in weights.groups() for p in g["params"])
    assert "used_words" not in weights.tensors()


def test_texts_may_be_filled_up_with_another_word_than_the_table_says(tmp_path):
    """A tokenizer's padding and a config's are two files' matter."""
    data, network = few_words(), make_teacher().network
    padding = next(word for word in range(1, 50) if word not in data.train.ids)
    data = replace(data, pad_id=padding)
    training_objective = label_objective(data, MemoryContext(tmp_path))
    weights = DenseWeights(network, Rates(1e-2, 0.0), words=training_objective.words)
    batch = collate(data.train, np.arange(12), pad_id=padding, device=CPU)
    assert padding in batch.inputs["input_ids"]
    before = table_of(network).clone()
    expected = network.eval()(**batch.inputs).logits
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert torch.allclose(network.train()(**batch.inputs).logits, expected, atol=1e-5)
    weights.release()
    assert torch.equal(table_of(network), before)
