"""Each family's record against tiny networks of transformers: names, shapes, counts, configs, modules."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

from app.domain.architectures import (
    ENCODERS,
    FAMILIES,
    Architecture,
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    StaticArchitecture,
    TfidfArchitecture,
    architecture_of,
    head_kind,
)
from app.domain.tasks import TASKS, Head, tasks_of
from app.intake.models.model_config import ModelConfig, read_config
from app.intake.models.weights import WeightsReport, check_weights
from tests.families import FAMILY_ROWS
from worker.networks.anatomy import ANATOMIES, MARIAN, network_class, word_head
from worker.networks.fused import part_fused
from worker.networks.loading import build_network, save_network, with_labels
from worker.networks.views import encoder_view

CPU = torch.device("cpu")
LABELS = ["O", "B-X", "I-X"]
STORED_HEADS = [task for task in tasks_of("encoder") if not TASKS[task].answers_in_vectors]
"""Tasks whose heads lie beside an encoder's weights; a projection of vectors has a file of its own."""
EVERY_NETWORK = [
    *((family, task) for family in ENCODERS for task in STORED_HEADS),
    *((kind, task) for kind in ("bilstm", "tfidf") for task in tasks_of(kind)),
    ("marian", "translation"),
]
ROLES = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")
CROSS_ROLES = ("cross_query", "cross_key", "cross_value", "cross_output")


def architecture_in(family: str) -> Architecture:
    """The architecture that a row says its config means."""
    row = FAMILY_ROWS[family]
    values = {"family": family, "shape": row.shape, "vocabulary": 50, "positions": 20}
    match family:
        case "marian":
            return EncoderDecoderArchitecture(**values)
        case "static":
            return StaticArchitecture(**values)
        case "bilstm":
            return BiLstmArchitecture(**values)
        case "tfidf":
            return TfidfArchitecture(**values)
        case _:
            return EncoderArchitecture(**values, token_types=row.token_types, details=row.details)


def head_for(task: str) -> Head:
    return Head.of(task, labels=len(LABELS), vocabulary=50, dimensions=24)


def network_of(family: str, task: str) -> PreTrainedModel:
    """As transformers makes it of its own config."""
    class_ = network_class(architecture_in(family), task)
    config = class_.config_class(**FAMILY_ROWS[family].settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return class_(with_labels(config, head_for(task), LABELS)).eval()


def encoder_of(family: str) -> tuple[PreTrainedModel, EncoderArchitecture]:
    architecture = architecture_in(family)
    assert isinstance(architecture, EncoderArchitecture)
    network = network_of(family, "token_classification")
    part_fused(network, architecture.record.stack)
    return network, architecture


def part(network: nn.Module, kind: type[nn.Module], name: str) -> nn.Module:
    module = network.get_submodule(name)
    assert isinstance(module, kind), name
    return module


def stored(network: PreTrainedModel, folder: Path) -> dict[str, tuple[int, ...]]:
    """What ``save_pretrained`` writes, but for what is not learnt."""
    save_network(network, folder)
    with safe_open(folder / "model.safetensors", "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return {name: shape for name, shape in shapes.items() if name not in dict(network.named_buffers())}


def intake(network: PreTrainedModel, folder: Path) -> tuple[ModelConfig, WeightsReport]:
    """What intake finds in a folder that ``save_pretrained`` wrote."""
    network.save_pretrained(folder)
    config = read_config(json.loads((folder / "config.json").read_text()))
    return config, check_weights(folder / "model.safetensors", config)


def test_every_family_has_a_row():
    assert set(FAMILY_ROWS) == set(FAMILIES)
    assert all(family.name == name for name, family in FAMILIES.items())


@pytest.mark.parametrize("family", FAMILY_ROWS)
def test_a_config_means_the_shape_in_its_row(family):
    record = FAMILIES[family]
    config = record.config.model_validate({"model_type": family} | FAMILY_ROWS[family].settings)
    assert architecture_of(config) == architecture_in(family)


@pytest.mark.parametrize(("family", "task"), EVERY_NETWORK)
class TestTensors:
    def test_have_the_names_and_shapes_of_the_network(self, family, task, tmp_path):
        architecture = architecture_in(family)
        expected = architecture.tensors()
        outputs = head_for(task).outputs
        if isinstance(architecture, EncoderArchitecture):
            expected |= architecture.head_tensors(head_kind(task), outputs=outputs)
        elif isinstance(architecture, (BiLstmArchitecture, TfidfArchitecture)):
            expected |= architecture.head_tensors(outputs=outputs)
        assert stored(network_of(family, task), tmp_path) == expected

    def test_are_accepted_as_an_upload_and_counted(self, family, task, tmp_path):
        config, found = intake(network_of(family, task), tmp_path)
        assert config.architecture == architecture_in(family)
        assert found.parameters == config.architecture.count(head=head_for(task)).total
        if task != "translation":
            assert found.head is not None
            assert (found.head.kind, found.head.outputs) == (head_kind(task), head_for(task).outputs)

    def test_are_as_many_as_planned_at_another_shape(self, family, task, tmp_path):
        network, other = network_of(family, task), FAMILY_ROWS[family].other_shape
        architecture = architecture_in(family)
        student = build_network(network.config, architecture.at(other), head_for(task))
        assert (
            student.num_parameters(only_trainable=True)
            == architecture.at(other).count(head=head_for(task)).total
        )
        assert stored(student, tmp_path).items() >= architecture.at(other).tensors().items()


@pytest.mark.parametrize(("family", "task"), EVERY_NETWORK)
def test_a_written_config_means_the_same_network(family, task, tmp_path):
    other = architecture_in(family).at(FAMILY_ROWS[family].other_shape)
    save_network(build_network(network_of(family, task).config, other, head_for(task)), tmp_path)
    assert read_config(json.loads((tmp_path / "config.json").read_text())).architecture == other


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("task", STORED_HEADS)
def test_parameters_are_counted_where_they_lie(family, task, tmp_path):
    network, architecture = network_of(family, task), architecture_in(family)
    record, counted = ENCODERS[family], {"embeddings": 0, "encoder": 0, "head": 0}
    common = record.stack.common_tensors(architecture.sizes)
    for name, shape in stored(network, tmp_path).items():
        if name in common or name.startswith(f"{record.stack.layers}."):
            group = "encoder"
        elif name.startswith(f"{record.encoder}.") and not record.is_pooler(name):
            group = "embeddings"
        else:
            group = "head"
        counted[group] += math.prod(shape)
    assert architecture.count(head=head_for(task)).model_dump() == counted | {"decoder": 0}


@pytest.mark.parametrize("family", ENCODERS)
class TestEncoder:
    def test_saved_without_a_head(self, family, tmp_path):
        import transformers

        record = ENCODERS[family]
        class_ = getattr(transformers, record.class_name(None))
        network = class_(class_.config_class(**FAMILY_ROWS[family].settings))
        config, found = intake(network, tmp_path)
        pooled = network.num_parameters() - sum(
            weight.numel() for name, weight in network.named_parameters() if "pooler" in name
        )
        assert found.head is None
        assert found.parameters in {network.num_parameters(), pooled}
        assert config.architecture == architecture_in(family)

    def test_modules_have_the_roles_of_the_record(self, family):
        network, architecture = encoder_of(family)
        anatomy = ANATOMIES[family]
        assert network.get_submodule(anatomy.encoder) is network.base_model
        words = ENCODERS[family].embeddings.words
        assert part(network, nn.Embedding, words) is network.get_input_embeddings()
        stack = architecture.record.stack
        gate = ["ffn_gate"] if stack.layer.ffn_gate else []
        for layer in range(architecture.shape.layers):
            for role in (*ROLES, *gate):
                matrix = part(network, nn.Linear, anatomy.part_name(layer, role))
                assert (matrix.bias is not None) == stack.biases
            has_norm = stack.kind(layer, architecture.sizes).has_attention_norm
            for role in ("attention_norm", "ffn_norm") if has_norm else ("ffn_norm",):
                norm = part(network, nn.LayerNorm, anatomy.part_name(layer, role))
                assert (norm.bias is not None) == stack.biases
        assert part(network, nn.LayerNorm, anatomy.embedding_norm).weight.requires_grad

    def test_layers_run_as_often_as_counted(self, family):
        network, architecture = encoder_of(family)
        ids = torch.arange(5, 11).unsqueeze(0)
        assert len(network(ids, output_hidden_states=True).hidden_states) == architecture.runs + 1

    def test_norms_are_where_the_record_says(self, family):
        """Where they come last, each state has the mean and spread of one that is normalised."""
        network, _ = encoder_of(family)
        states = network(torch.arange(5, 11).unsqueeze(0), output_hidden_states=True).hidden_states[1:]
        spread = torch.cat(states).std(-1, correction=0)
        normalised = torch.allclose(spread, torch.ones_like(spread), atol=1e-3)
        assert normalised == (ENCODERS[family].stack.norm_placement == "after")

    def test_the_longest_text_has_a_position_for_each_token(self, family):
        network, architecture = encoder_of(family)
        record = ENCODERS[family]
        longest = record.longest_text(record.config.model_validate(network.config.to_dict()))
        ids = torch.full((1, longest), 7)
        assert network(ids).logits.shape[1] == longest
        if not encoder_view(network, architecture).embeddings.others:
            return  # no table says how far positions go
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            network(torch.full((1, longest + 1), 7))

    def test_words_come_of_the_heads_steps(self, family):
        network = network_of(family, "masked_language_modeling")
        ids = torch.arange(5, 11).unsqueeze(0)
        states = network.base_model(ids).last_hidden_state
        for step in word_head(network).steps:
            states = network.get_submodule(step)(states)
        assert torch.allclose(states, network(ids).logits, atol=1e-6)

    @pytest.mark.parametrize("task", tasks_of("encoder"))
    def test_heads_are_linear_modules(self, family, task):
        network = network_of(family, task)
        head = ANATOMIES[family].head_of(network)
        assert part(network, nn.Linear, head.output).out_features == head_for(task).outputs
        assert (
            head.dense is None
            or part(network, nn.Linear, head.dense).in_features == FAMILY_ROWS[family].shape.hidden
        )
        if head.norm is not None:
            assert part(network, nn.LayerNorm, head.norm).weight.requires_grad
        if head.is_tied:
            assert part(network, nn.Linear, head.output).weight is network.get_input_embeddings().weight


def test_stacks_of_a_translation_model_have_the_roles_of_the_record():
    network, shape = network_of("marian", "translation"), FAMILY_ROWS["marian"].shape
    for stack, layers in ((MARIAN.encoder, shape.encoder_layers), (MARIAN.decoder, shape.decoder_layers)):
        roles = ROLES if stack is MARIAN.encoder else (*ROLES, *CROSS_ROLES)
        for layer in range(layers):
            assert all(part(network, nn.Linear, stack.part_name(layer, role)) for role in roles)
            assert part(network, nn.LayerNorm, stack.part_name(layer, "ffn_norm"))
    assert part(network, nn.Embedding, MARIAN.shared_words).weight is network.get_output_embeddings().weight
