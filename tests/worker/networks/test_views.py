"""Views of every family's networks: their parts are the modules that transformers itself names."""

from operator import attrgetter

import pytest
import torch
from torch import nn

from app.domain.architectures import BiLstmArchitecture, BiLstmShape, EncoderShape
from app.domain.methods.pea_kd import layer_schedule
from tests.worker.compression import TEACHER_SHAPE, encoder_card, make_data, make_teacher
from tests.worker.translations import NARROW, SMALL, TEACHER, make_translator, translation_data
from worker.networks.loading import build_network
from worker.networks.parts import Axis
from worker.networks.views import encoder_view, head_parameters, head_view, network_view, translator_view
from worker.transfer.activations import capture_activations
from worker.transfer.initialisation import calibration_batches

CPU = torch.device("cpu")
TASKS = ["text_classification", "text_regression", "token_classification", "masked_language_modeling"]

BERT_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
DISTILBERT_LAYER = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "ffn_in": "ffn.lin1",
    "ffn_out": "ffn.lin2",
    "ffn_norm": "output_layer_norm",
}
MARIAN_LAYER = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "ffn_in": "fc1",
    "ffn_out": "fc2",
    "ffn_norm": "final_layer_norm",
}
MARIAN_CROSS = {
    "query": "encoder_attn.q_proj",
    "key": "encoder_attn.k_proj",
    "value": "encoder_attn.v_proj",
    "output": "encoder_attn.out_proj",
    "norm": "encoder_attn_layer_norm",
}

FAMILIES = {
    "bert": ("bert", "encoder.layer", BERT_LAYER),
    "roberta": ("roberta", "encoder.layer", BERT_LAYER),
    "xlm-roberta": ("roberta", "encoder.layer", BERT_LAYER),
    "distilbert": ("distilbert", "transformer.layer", DISTILBERT_LAYER),
}
"""The attribute of a network that is its encoder, that of the encoder that are its layers, and a layer's."""

ROBERTA_HEADS = {
    "text_classification": ("classifier.dense", None, "classifier.out_proj"),
    "token_classification": (None, None, "classifier"),
    "masked_language_modeling": ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"),
}
HEADS = {
    "bert": {
        "text_classification": ("bert.pooler.dense", None, "classifier"),
        "token_classification": (None, None, "classifier"),
        "masked_language_modeling": (
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.decoder",
        ),
    },
    "roberta": ROBERTA_HEADS,
    "xlm-roberta": ROBERTA_HEADS,
    "distilbert": {
        "text_classification": ("pre_classifier", None, "classifier"),
        "token_classification": (None, None, "classifier"),
        "masked_language_modeling": ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
    },
}
"""Dense layer, norm and output of each."""


def encoder_parts(view):
    head = [part for part in (view.head.dense, view.head.norm, view.head.output) if part is not None]
    layers = [part for layer in view.layers for part in (*layer.matrices, *layer.norms)]
    return [*view.embeddings, view.embedding_norm, *layers, *head]


def translator_parts(view):
    layers = [layer for stack in view.stacks for layer in stack.layers]
    parts = [part for layer in layers for part in (*layer.matrices, *layer.norms)]
    return [*{stack.embeddings.words.name: stack.embeddings.words for stack in view.stacks}.values(), *parts]


def check_names(network, parts):
    names = [part.name for part in parts]
    assert len(set(names)) == len(names)
    held = dict(network.named_parameters(remove_duplicate=False))
    for part in parts:
        assert held[part.weight_name] is part.weight
        if not isinstance(part.module, nn.Embedding):
            assert held[part.bias_name] is part.bias
        assert network.get_submodule(part.name) is part.module


@pytest.mark.parametrize("family", FAMILIES)
class TestEncoders:
    def test_parts_are_the_modules_of_transformers(self, tmp_path, family):
        teacher = make_teacher(family)
        view = encoder_view(teacher.network, teacher.architecture)
        own, layers, parts = FAMILIES[family]
        encoder = getattr(teacher.network, own)
        modules = attrgetter(layers)(encoder)
        assert len(view.layers) == len(modules) == TEACHER_SHAPE.layers
        for seen, module in zip(view.layers, modules, strict=True):
            for role, path in parts.items():
                assert getattr(seen, role).module is attrgetter(path)(module), role
            assert seen.cross_attention is None
        assert view.embeddings.words.embedding is encoder.embeddings.word_embeddings
        assert view.embeddings.others[0].embedding is encoder.embeddings.position_embeddings
        assert view.embedding_norm.layer is encoder.embeddings.LayerNorm
        assert [part.name for part in view.stream_parts] == [
            view.embedding_norm.name,
            *(layer.ffn_norm.name for layer in view.layers),
        ]

    @pytest.mark.parametrize("task", TASKS)
    def test_heads_are_those_of_transformers(self, tmp_path, family, task):
        teacher = make_teacher(family, task=task)
        kind = "text_classification" if task == "text_regression" else task
        dense, norm, output = HEADS[family][kind]
        for head in (
            encoder_view(teacher.network, teacher.architecture).head,
            head_view(teacher.network),
        ):
            assert head.output.module is teacher.network.get_submodule(output)
            assert (head.dense and head.dense.name, head.norm and head.norm.name) == (dense, norm)
            assert head.is_tied == (task == "masked_language_modeling")
            assert head.output.rows is Axis.OUTPUTS

    @pytest.mark.parametrize("task", TASKS)
    def test_names_are_unique_and_lead_to_every_parameter(self, tmp_path, family, task):
        teacher = make_teacher(family, task=task)
        parts = encoder_parts(encoder_view(teacher.network, teacher.architecture))
        check_names(teacher.network, parts)
        seen = {id(parameter) for part in parts for parameter in part.module.parameters()}
        assert seen == {id(parameter) for parameter in teacher.network.parameters()}

    def test_rows_of_a_head_make_what_the_head_attends_with(self, tmp_path, family):
        """Without its rows of the value a head writes only biases, and no other head notices."""
        teacher, data = make_teacher(family), make_data(train=8, dev=8)
        batches = calibration_batches(data, device=CPU)
        attention = encoder_view(teacher.network, teacher.architecture).layers[1].attention
        before = capture_activations(teacher.network, batches, before=[attention.output])
        with torch.no_grad():
            attention.value.weight[attention.rows(2)] = 0
            attention.value.bias[attention.rows(2)] = 0
        after = capture_activations(teacher.network, batches, before=[attention.output])
        changed = (before.input_of(attention.output) != after.input_of(attention.output)).any(0)
        width = TEACHER_SHAPE.hidden // TEACHER_SHAPE.heads
        assert changed.nonzero().flatten().tolist() == list(range(2 * width, 3 * width))
        assert attention.rows_of(torch.tensor([0, 2])).tolist() == [
            *range(width),
            *range(2 * width, 3 * width),
        ]

    def test_matrices_are_as_large_as_their_axes(self, tmp_path, family):
        teacher = make_teacher(family)
        sizes = {Axis.RESIDUAL: 32, Axis.HEADS: 32, Axis.NEURONS: 64}
        for layer in encoder_view(teacher.network, teacher.architecture).layers:
            for matrix in layer.matrices:
                assert matrix.weight.shape == (sizes[matrix.rows], sizes[matrix.columns])

    def test_head_parameters_lie_outside_the_encoder(self, tmp_path, family):
        teacher = make_teacher(family)
        inside = {id(parameter) for parameter in getattr(teacher.network, FAMILIES[family][0]).parameters()}
        outside = {id(parameter) for parameter in teacher.network.parameters()} - inside
        assert {
            id(parameter) for parameter in head_parameters(teacher.network, teacher.architecture)
        } == outside


@pytest.mark.parametrize("shape", [TEACHER, NARROW, SMALL], ids=["teacher", "narrow", "small"])
class TestTranslators:
    def test_parts_are_the_modules_of_transformers(self, shape):
        teacher = make_translator(shape)
        view, model = translator_view(teacher.network, teacher.architecture), teacher.network.model
        for stack, modules in ((view.encoder, model.encoder.layers), (view.decoder, model.decoder.layers)):
            assert len(stack.layers) == len(modules)
            for seen, module in zip(stack.layers, modules, strict=True):
                for role, path in MARIAN_LAYER.items():
                    assert getattr(seen, role).module is attrgetter(path)(module), role
        for seen, module in zip(view.decoder.layers, model.decoder.layers, strict=True):
            for role, path in MARIAN_CROSS.items():
                assert getattr(seen.cross_attention, role).module is attrgetter(path)(module), role
        assert view.encoder.embeddings.words.weight is model.encoder.embed_tokens.weight
        assert view.decoder.embeddings.words.weight is model.decoder.embed_tokens.weight
        tables = {stack.embeddings.words.name for stack in view.stacks}
        assert len(tables) == (1 if shape.shares_embeddings else 2)

    def test_names_are_unique_and_lead_to_every_parameter(self, shape):
        teacher = make_translator(shape)
        parts = translator_parts(translator_view(teacher.network, teacher.architecture))
        check_names(teacher.network, parts)
        seen = {id(parameter) for part in parts for parameter in part.module.parameters()}
        trained = {id(p) for p in teacher.network.parameters() if p.requires_grad}
        assert trained <= seen

    def test_matrices_are_as_large_as_their_axes(self, shape):
        teacher = make_translator(shape)
        view = translator_view(teacher.network, teacher.architecture)
        for stack in view.stacks:
            own = stack.shape
            sizes = {
                Axis.RESIDUAL: own.hidden,
                Axis.HEADS: own.hidden,
                Axis.CROSS_HEADS: own.hidden,
                Axis.MEMORY: shape.hidden,
                Axis.NEURONS: own.ffn,
            }
            for matrix in (matrix for layer in stack.layers for matrix in layer.matrices):
                assert matrix.weight.shape == (sizes[matrix.rows], sizes[matrix.columns])

    def test_each_part_is_captured_at_the_tokens_that_it_sees(self, shape):
        teacher, data = make_translator(shape), translation_data(train=32, dev=8)
        batches = calibration_batches(data, device=CPU)
        cross = translator_view(teacher.network, teacher.architecture).decoder.layers[0].cross_attention
        values = capture_activations(teacher.network, batches, before=[cross.query, cross.key])
        read, written = (
            sum(int(batch[mask].sum()) for batch in batches)
            for mask in ("attention_mask", "decoder_attention_mask")
        )
        assert read != written
        assert len(values.input_of(cross.key)) == read
        assert len(values.input_of(cross.query)) == written


class TestStructure:
    SHAPE = EncoderShape(layers=2, hidden=32, heads=4, ffn=64)

    def network(self, folder, architecture, task="text_classification"):
        teacher, data = make_teacher(task=task), make_data(task, train=8, dev=8)
        return build_network(teacher.network.config, architecture, data.head)

    def test_factorised_matrices_give_their_factors_and_refuse_to_be_one(self, tmp_path):
        architecture = encoder_card(shape=self.SHAPE.model_copy(update={"rank": 6}))
        view = encoder_view(self.network(tmp_path, architecture), architecture)
        for matrix in (matrix for layer in view.layers for matrix in layer.matrices):
            inner, outer = matrix.factors
            assert inner.out_features == outer.in_features == 6
            with pytest.raises(TypeError, match=f"{matrix.name} is no single linear layer"):
                _ = matrix.weight
        with pytest.raises(TypeError, match="is not factorised"):
            _ = view.head.output.factors

    @pytest.mark.parametrize("task", ["text_classification", "masked_language_modeling"])
    def test_a_factorised_word_table_gives_its_factors(self, tmp_path, task):
        architecture = encoder_card(shape=self.SHAPE.model_copy(update={"embedding": 8}))
        network = self.network(tmp_path, architecture, task)
        view = encoder_view(network, architecture)
        narrow, widen = view.embeddings.words.factors
        held = dict(network.named_parameters(remove_duplicate=False))
        assert held[narrow.weight_name] is narrow.weight
        assert held[widen.weight_name] is widen.weight
        assert (narrow.weight.shape[1], widen.weight.shape) == (8, (32, 8))
        with pytest.raises(TypeError, match="no whole table"):
            _ = view.embeddings.words.weight
        with pytest.raises(TypeError, match="is not factorised"):
            _ = view.embeddings.others[0].factors

    def test_layers_that_run_again_are_seen_once_a_run(self, tmp_path):
        schedule = layer_schedule("shuffled", self.SHAPE.layers)
        architecture = encoder_card(shape=self.SHAPE).model_copy(update={"schedule": schedule})
        network = self.network(tmp_path, architecture)
        first, _, again, _ = encoder_view(network, architecture).layers
        assert again.query.module is first.key.module
        assert again.ffn_norm.module is first.ffn_norm.module
        assert (first.ffn_norm.run, again.ffn_norm.run) == (0, 1)

    def test_each_run_of_a_layer_is_captured_by_itself(self, tmp_path):
        """Against all hidden states, which transformers gives by run."""
        schedule = layer_schedule("shuffled", self.SHAPE.layers)
        architecture = encoder_card(shape=self.SHAPE).model_copy(update={"schedule": schedule})
        network = self.network(tmp_path, architecture)
        batches = calibration_batches(make_data(train=8, dev=8), device=CPU)
        norms = encoder_view(network, architecture).stream_parts
        together = capture_activations(network, batches, after=norms)
        for index, norm in enumerate(norms):
            expected = []
            with torch.no_grad():
                for batch in batches:
                    states = network(**batch, output_hidden_states=True).hidden_states[index]
                    expected.append(states[batch["attention_mask"].bool()])
            alone = capture_activations(network, batches, after=[norm])
            for values in (together, alone):
                assert torch.allclose(values.output_of(norm), torch.cat(expected), atol=1e-5)

    def test_what_was_not_captured_is_an_error(self, tmp_path):
        teacher = make_teacher()
        view = encoder_view(teacher.network, teacher.architecture)
        batches = calibration_batches(make_data(train=8, dev=8), device=CPU)
        values = capture_activations(teacher.network, batches, after=[view.embedding_norm])
        with pytest.raises(KeyError):
            values.input_of(view.embedding_norm)

    def test_a_network_without_a_head_of_a_family_has_no_head(self):
        with pytest.raises(ValueError, match="no head"):
            head_view(make_translator().network)


def test_a_bilstm_has_no_layers_to_view():
    shape = BiLstmShape(embedding=8, hidden=8, projection=32)
    architecture = BiLstmArchitecture(shape=shape, vocabulary=100, positions=64)
    with pytest.raises(TypeError, match="bilstm is no encoder"):
        network_view(nn.Module(), architecture)
