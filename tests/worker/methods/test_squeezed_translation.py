"""Weight squeezing of encoder-decoders: where the maps start, and that they fold."""

import numpy as np
import pytest
import torch
from transformers import MarianConfig

from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape
from app.domain.methods import WeightSqueezingSpec
from app.domain.tasks import Head
from tests.tiny import tiny_examples, tiny_tokenizer
from tests.worker.compression import MemoryContext
from worker import methods
from worker.contracts import TaskData, Teacher
from worker.data.tokenization import tokenize_translations
from worker.evaluation.evaluate import predict_logits
from worker.methods.weight_squeezing.map_generators import Generators
from worker.methods.weight_squeezing.method import initial_maps
from worker.networks.loading import build_network
from worker.parameterization.parameterizations import GeneratedWeights, Rates
from worker.transfer.initialisation import subcloned_network

WHOLE = EncoderDecoderShape(encoder_layers=2, decoder_layers=4, hidden=32, heads=4, ffn=64)
SHALLOW = WHOLE.model_copy(update={"decoder_layers": 2})
SMALL = EncoderDecoderShape(encoder_layers=1, decoder_layers=2, hidden=16, heads=2, ffn=24)
NARROW = SHALLOW.model_copy(update={"decoder_hidden": 16, "decoder_heads": 2, "decoder_ffn": 24})


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    tokenizer = tiny_tokenizer()
    architecture = EncoderDecoderArchitecture(
        shape=WHOLE, vocabulary=tokenizer.get_vocab_size(), positions=64
    )
    config = MarianConfig(pad_token_id=0, eos_token_id=3, decoder_start_token_id=0, scale_embedding=True)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = build_network(
            config, architecture, Head(task="translation", outputs=architecture.vocabulary)
        )
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return Teacher(network=network, tokenizer=tokenizer, architecture=architecture, digest="marian")


@pytest.fixture(scope="module")
def data(teacher: Teacher) -> TaskData:
    texts = [example["text"] for example in tiny_examples(96)]
    split = tokenize_translations(
        texts,
        [" ".join(reversed(text.split())) for text in texts],
        source_tokenizer=teacher.tokenizer,
        target_tokenizer=teacher.tokenizer,
        max_length=32,
    )
    return TaskData(
        task="translation",
        train=split,
        dev=split,
        unlabeled=None,
        labels=[],
        pad_id=0,
        vocabulary=teacher.architecture.vocabulary,
    )


def logits(network, data):
    return predict_logits(network, data.dev, pad_id=0, device=torch.device("cpu"))


def started(kind, teacher, data, shape, folder):
    """A student folded from its maps at step 0."""
    context = MemoryContext(folder, architecture=teacher.architecture.at(shape))
    spec = WeightSqueezingSpec(name="weight_squeezing", initial_map=kind)
    network = build_network(teacher.network.config, context.architecture, data.head)
    maps = initial_maps(teacher, network, data, spec, context)
    as_started = logits(network, data)
    generators = Generators(network, maps, spec)
    GeneratedWeights(
        network, matrices=generators.matrices, tables=generators.tables, rates=Rates(1e-3, 0)
    ).fold()
    return network, as_started


@pytest.mark.parametrize("shape", [SHALLOW, SMALL, NARROW], ids=["shallow", "small", "narrow"])
def test_select_is_the_subcloned_network_at_step_0(shape, teacher, data, tmp_path):
    network, as_started = started("select", teacher, data, shape, tmp_path)
    context = MemoryContext(tmp_path, architecture=teacher.architecture.at(shape))
    expected = logits(subcloned_network(teacher, data, context, layer_map="uniform").network, data)
    np.testing.assert_allclose(as_started, expected, atol=1e-4)
    np.testing.assert_allclose(logits(network, data), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [SHALLOW, SMALL, NARROW], ids=["shallow", "small", "narrow"])
def test_refitted_maps_come_closer_to_the_teacher(shape, teacher, data, tmp_path):
    wanted = logits(teacher.network, data)
    distances = {}
    for kind in ("select", "pca"):
        network, as_started = started(kind, teacher, data, shape, tmp_path)
        np.testing.assert_allclose(logits(network, data), as_started, atol=1e-3)
        distances[kind] = np.square(as_started - wanted).mean()
    assert distances["pca"] < 0.8 * distances["select"]


def test_at_the_teachers_own_shape_the_refitted_student_is_the_teacher(teacher, data, tmp_path):
    """But for what the ridges of the regressions take away."""
    wanted = logits(teacher.network, data)
    network, _ = started("pca", teacher, data, WHOLE, tmp_path)
    assert np.square(logits(network, data) - wanted).mean() < 0.05 * wanted.var()


def test_training_makes_the_loss_smaller(teacher, data, tmp_path):
    context = MemoryContext(tmp_path, architecture=teacher.architecture.at(NARROW), epochs=4)
    spec = WeightSqueezingSpec(name="weight_squeezing")
    student = methods.load(spec).compress(teacher, data, spec, context)
    losses = [report[3]["loss"] for report in context.reports if "loss" in report[3]]
    assert losses[-1] < losses[0]
    assert (
        student.network.num_parameters(only_trainable=True)
        == context.architecture.count(head=data.head).total
    )
