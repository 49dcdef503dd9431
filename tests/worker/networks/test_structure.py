"""Networks that their family's config cannot describe: what they compute, hold, store and export."""

import copy

import numpy as np
import onnx
import pytest
import torch

from app.domain.architectures import EncoderShape
from app.domain.errors import JobError
from app.domain.methods import layer_schedule
from tests.worker.compression import encoder_card, make_data, make_teacher, same_weights, saved_and_loaded
from worker.data.batches import collate
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder
from worker.export.onnx_export import export_onnx
from worker.networks.loading import build_network
from worker.networks.structure import complete, describe

CPU = torch.device("cpu")
SHAPE = EncoderShape(layers=2, hidden=32, heads=4, ffn=64)


def architecture_of(family="bert", *, sharing=None, **factors):
    architecture = encoder_card(family, shape=SHAPE.model_copy(update=factors))
    schedule = layer_schedule(sharing, SHAPE.layers) if sharing else None
    return architecture.model_copy(update={"schedule": schedule})


def network_of(architecture, data, folder):
    """Every part has a say: biases and norms are not at their defaults."""
    teacher = make_teacher(architecture.family, task=data.task)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = build_network(teacher.network.config, architecture, data.head)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def logits_of(network, data):
    return predict_logits(network, data.dev, pad_id=0, device=CPU)


CARDS = [
    architecture_of(rank=6),
    architecture_of(embedding=8),
    architecture_of(sharing="shuffled"),
    architecture_of("roberta", sharing="upper_half"),
    architecture_of("distilbert", sharing="paired", rank=6, embedding=8),
    architecture_of("deberta-v2", embedding=8),
]


@pytest.mark.parametrize(
    "architecture", CARDS, ids=lambda architecture: f"{architecture.family}-{describe(architecture)}"
)
class TestStructuredNetworks:
    def test_hold_what_the_planner_counts(self, architecture, tmp_path):
        data = make_data(train=8, dev=8)
        assert (
            network_of(architecture, data, tmp_path).num_parameters()
            == architecture.count(head=data.head).total
        )

    def test_survive_saving_and_say_what_they_are(self, architecture, tmp_path):
        data = make_data(train=8, dev=16)
        network = network_of(architecture, data, tmp_path)
        loaded = saved_and_loaded(network, architecture, data, tmp_path / "saved")
        assert same_weights(network, loaded)
        assert np.array_equal(logits_of(network, data), logits_of(loaded, data))
        assert loaded.num_parameters() == network.num_parameters()
        assert loaded.config.squeeze == describe(architecture)

    def test_onnx_says_the_same_and_stores_nothing_twice(self, architecture, tmp_path):
        data = make_data(train=8, dev=16)
        network = network_of(architecture, data, tmp_path)
        export_onnx(network, tmp_path / "model.onnx")
        exported = ExportedEncoder(tmp_path / "model.onnx").logits(data.dev, pad_id=0)
        assert np.abs(logits_of(network, data) - exported).max() < 1e-5
        initialisers = onnx.load(tmp_path / "model.onnx").graph.initializer
        floats = [tensor for tensor in initialisers if tensor.data_type == onnx.TensorProto.FLOAT]
        stored = sum(int(np.prod(tensor.dims)) for tensor in floats if tensor.dims)
        assert stored <= network.num_parameters()


class TestSharedLayers:
    @pytest.mark.parametrize("sharing", ["shuffled", "repeated", "paired", "upper_half"])
    def test_compute_what_a_deeper_network_of_copies_does(self, tmp_path, sharing):
        data, architecture = make_data(train=8, dev=16), architecture_of(sharing=sharing)
        network = network_of(architecture, data, tmp_path)
        deep = encoder_card(shape=SHAPE.model_copy(update={"layers": architecture.runs}))
        naive = build_network(network.config, deep, data.head)
        state = network.state_dict()
        # Names say which run; what each run should hold is written out from the schedule.
        first_run = {use.layer: run for run, use in reversed(list(enumerate(architecture.schedule)))}
        for name in naive.state_dict():
            source = name
            if "encoder.layer." in name:
                run, part = name.removeprefix("bert.encoder.layer.").split(".", 1)
                use = architecture.schedule[int(run)]
                if use.swapped:
                    exchange = {"attention.self.query": "attention.self.key"}
                    exchange |= {new: old for old, new in exchange.items()}
                    head = part.rpartition(".")[0]
                    part = part.replace(head, exchange.get(head, head))
                source = f"bert.encoder.layer.{first_run[use.layer]}.{part}"
            naive.state_dict()[name].copy_(state[source])
        assert np.allclose(logits_of(network, data), logits_of(naive, data), atol=1e-6)

    def test_share_every_parameter(self, tmp_path):
        network = network_of(architecture_of(sharing="shuffled"), make_data(train=8, dev=8), tmp_path)
        first, again = network.bert.encoder.layer[0], network.bert.encoder.layer[2]
        assert again.attention.self.query.weight is first.attention.self.key.weight
        assert again.attention.self.key.bias is first.attention.self.query.bias
        assert {id(p) for p in first.parameters()} == {id(p) for p in again.parameters()}

    def test_stay_shared_in_a_copy(self, tmp_path):
        network = copy.deepcopy(
            network_of(architecture_of(sharing="shuffled"), make_data(train=8, dev=8), tmp_path)
        )
        layers = network.bert.encoder.layer
        assert layers[3].output.dense.weight is layers[1].output.dense.weight


class TestFactorisedWords:
    def test_are_the_nearest_of_their_rank(self, tmp_path):
        data, architecture = make_data(train=8, dev=8), architecture_of(embedding=8)
        network = network_of(architecture.unfolded, data, tmp_path)
        table = network.bert.embeddings.word_embeddings.weight.detach().clone()
        complete(network, architecture)
        narrow, widen = network.bert.embeddings.word_embeddings
        left, values, right = torch.linalg.svd(table, full_matrices=False)
        expected = left[:, :8] * values[:8] @ right[:8]
        assert torch.allclose(narrow.weight @ widen.weight.T, expected, atol=1e-5)

    @pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
    def test_are_a_masked_language_models_output_too(self, tmp_path, family):
        """As one whose whole table is the product."""
        data = make_data("masked_language_modeling", train=8, dev=8)
        architecture = architecture_of(family, embedding=8)
        whole = network_of(architecture.unfolded, data, tmp_path)
        factorised = copy.deepcopy(whole)
        complete(factorised, architecture)
        narrow, widen = factorised.get_input_embeddings()
        with torch.no_grad():
            whole.get_input_embeddings().weight.copy_(narrow.weight @ widen.weight.T)
        assert np.allclose(logits_of(factorised, data), logits_of(whole, data), atol=1e-4)
        assert factorised.num_parameters() == architecture.count(head=data.head).total
        batch = collate(data.dev, np.arange(2), pad_id=0, device=CPU)
        factorised(**batch.inputs).logits.square().mean().backward()
        # Words that no text has get their gradient from the output alone.
        assert narrow.weight.grad[1:].abs().sum(1).min() > 0
        loaded = saved_and_loaded(factorised, architecture, data, tmp_path / "saved")
        assert np.array_equal(logits_of(factorised, data), logits_of(loaded, data))


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    data = make_data(train=8, dev=8)
    network = network_of(architecture_of(rank=6), data, tmp_path)
    with pytest.raises(JobError, match=r"config\.json"):
        saved_and_loaded(network, architecture_of(rank=5), data, tmp_path / "saved")


def test_another_tasks_head_is_drawn_anew(tmp_path):
    data, architecture = make_data(train=8, dev=8), architecture_of(sharing="shuffled")
    network = network_of(architecture, data, tmp_path)
    saved_and_loaded(network, architecture, data, tmp_path / "saved")
    from app.domain.documents.manifest import Files, ModelManifest
    from worker.networks.loading import load_network

    manifest = ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=architecture,
        task=data.task,
        labels=data.labels,
        parameters=1,
        max_length=32,
    )
    tagger = load_network(tmp_path / "saved", manifest, task="token_classification", labels=["O", "B-x"])
    assert tagger.classifier.out_features == 2
    layer = "bert.encoder.layer.1.attention.self.query.weight"
    assert torch.equal(tagger.state_dict()[layer], network.state_dict()[layer])
