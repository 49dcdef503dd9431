"""The BiLSTM against a second implementation, and against itself under padding and export."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.domain.architectures import BiLstmArchitecture, BiLstmShape
from app.domain.tasks import Head
from worker.export.onnx_export import export_onnx
from worker.networks.bilstm import BiLstm, BiLstmConfig, packed_states, states_by_direction
from worker.networks.loading import build_network

SHAPE = BiLstmShape(embedding=6, hidden=5, projection=7)
CARD = BiLstmArchitecture(shape=SHAPE, vocabulary=40, positions=64)
TASKS = ["text_classification", "token_classification"]


def network_for(task: str) -> BiLstm:
    torch.manual_seed(0)
    network = build_network(BiLstmConfig(pad_token_id=0), CARD, Head(task=task, outputs=3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    assert isinstance(network, BiLstm)
    return network


def padded_batch(*lengths: int) -> dict[str, Tensor]:
    longest = max(lengths)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids = (torch.arange(len(lengths))[:, None] * 11 + torch.arange(longest) * 7) % 39 + 1
    return {"input_ids": ids * mask, "attention_mask": mask}


def naive_states(network: BiLstm, ids: list[int]) -> Tensor:
    """One text, token by token, each gate by its formula: (T, 2H)."""
    words = [network.word_embeddings.weight[id_] for id_ in ids]
    size = network.config.hidden_size

    def read(sequence: list[Tensor], suffix: str) -> list[Tensor]:
        parameters = dict(network.lstm.named_parameters())
        hidden, cell, states = torch.zeros(size), torch.zeros(size), []
        for word in sequence:
            gates = (
                parameters[f"weight_ih_l0{suffix}"] @ word
                + parameters[f"bias_ih_l0{suffix}"]
                + parameters[f"weight_hh_l0{suffix}"] @ hidden
                + parameters[f"bias_hh_l0{suffix}"]
            )
            i, f, g, o = gates.split(size)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            states.append(hidden)
        return states

    forwards, backwards = read(words, ""), read(words[::-1], "_reverse")[::-1]
    return torch.stack([torch.cat(pair) for pair in zip(forwards, backwards, strict=True)])


@pytest.mark.parametrize("task", TASKS)
def test_card_counts_what_the_network_holds(task):
    assert network_for(task).num_parameters() == CARD.count(head=Head(task=task, outputs=3)).total


@pytest.mark.parametrize("task", TASKS)
def test_equals_a_naive_implementation(task):
    network, batch = network_for(task), padded_batch(5, 2, 9)
    with torch.no_grad():
        found = network(**batch).logits
        for row, length in enumerate((5, 2, 9)):
            states = naive_states(network, batch["input_ids"][row, :length].tolist())
            read = states.max(0).values if task == "text_classification" else states
            projected = network.projection(read)
            expected = network.classifier(functional.gelu(projected))
            ours = found[row] if task == "text_classification" else found[row, :length]
            assert torch.allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_does_not_depend_on_padding(task):
    network = network_for(task)
    with torch.no_grad():
        short = network(**padded_batch(4)).logits
        beside_longer = network(**padded_batch(4, 30)).logits[:1]
        alone = network(input_ids=padded_batch(4)["input_ids"]).logits
    kept = beside_longer if task == "text_classification" else beside_longer[:, :4]
    assert torch.allclose(short, kept, atol=1e-6)
    assert torch.equal(short, alone)


def test_both_ways_through_the_lstm_give_the_same_states_and_gradients():
    lstm, lengths = nn.LSTM(6, 5, batch_first=True, bidirectional=True), torch.tensor([3, 8, 1])
    mask = (torch.arange(8) < lengths[:, None]).unsqueeze(-1)
    results = []
    for way in (packed_states, states_by_direction):
        inputs = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        states = way(lstm, inputs, lengths) * mask
        lstm.zero_grad()
        states.square().sum().backward()
        results.append([states, inputs.grad, *(p.grad.clone() for p in lstm.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_onnx_says_the_same_at_every_batch_and_length(task, tmp_path):
    network = network_for(task)
    export_onnx(network, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch in (padded_batch(1), padded_batch(7, 3, 1), padded_batch(2, 2, 20, 5, 13), padded_batch(6)):
        [found] = session.run(["logits"], {name: value.numpy() for name, value in batch.items()})
        with torch.no_grad():
            expected = network(**batch).logits.numpy()
        where = batch["attention_mask"].numpy() == 1 if task == "token_classification" else slice(None)
        assert np.abs(found - expected)[where].max() < 1e-5


def test_comes_back_from_disk_as_it_was(tmp_path):
    network = network_for("text_classification")
    network.set_dropout(0.35)
    network.save_pretrained(tmp_path)
    loaded = type(network).from_pretrained(tmp_path)
    assert loaded.dropout.p == 0.35
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(network.parameters(), loaded.parameters(), strict=True)
    )
