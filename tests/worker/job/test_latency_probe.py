"""A student's latency, measured before there is a student."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MarianConfig, PreTrainedModel

from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from app.domain.documents import Target
from app.domain.methods import ScratchSpec
from app.domain.planning import plan_student
from app.domain.tasks import Head
from tests.tiny import tiny_tokenizer
from tests.worker.tiny_networks import classifier, dev_data
from worker.contracts import TokenizedSplit
from worker.job.latency_probe import LatencyProbe
from worker.networks.loading import build_network
from worker.vocabulary.trimming import config_within

HEAD = Head(task="text_classification", outputs=2)
TEACHER = EncoderArchitecture(
    family="bert",
    shape=EncoderShape(layers=6, hidden=256, heads=4, ffn=1024),
    vocabulary=tiny_tokenizer().get_vocab_size(),
    positions=64,
    token_types=2,
)


class Builder:
    """Builds what the job would, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.config = classifier(folder).config
        self.built: list[Architecture] = []

    def __call__(self, architecture: Architecture, head: Head) -> PreTrainedModel:
        self.built.append(architecture)
        return build_network(self.config, architecture, head)


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "model")


def test_a_bilstm(build, tmp_path):
    architecture = BiLstmArchitecture(
        shape=BiLstmShape(embedding=16, hidden=32, projection=256),
        vocabulary=TEACHER.vocabulary,
        positions=64,
    )
    assert LatencyProbe(build, dev_data(), known=tmp_path / "latencies.json")(architecture, HEAD) > 0


def test_a_translation_is_timed_to_the_length_of_its_reference(tmp_path):
    """A network drawn at random would write on, or stop at once."""
    config = MarianConfig(vocab_size=64, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)
    architecture = EncoderDecoderArchitecture(
        shape=EncoderDecoderShape(encoder_layers=1, decoder_layers=1, hidden=16, heads=2, ffn=32),
        vocabulary=64,
        positions=128,
    )

    def latency(words: int) -> float:
        data = replace(dev_data(texts(10, words=8)), task="translation", labels=[], vocabulary=64)
        data = replace(data, dev=replace(data.dev, labels=None, targets=texts(10, words=words)))
        build = partial(build_network, config)
        return LatencyProbe(build, data, known=tmp_path / f"{words}.json")(architecture, data.head)

    assert latency(40) > 2 * latency(4)


def texts(rows: int, *, words: int) -> TokenizedSplit:
    ids = np.random.default_rng(0).integers(2, 64, rows * words).astype(np.int32)
    offsets = np.arange(rows + 1) * words
    return TokenizedSplit(ids=ids, type_ids=None, offsets=offsets, labels=None, digest="drawn")


def test_a_large_network_takes_longer(build, tmp_path):
    probe = LatencyProbe(build, dev_data(), known=tmp_path / "latencies.json")
    small = TEACHER.at(EncoderShape(layers=1, hidden=64, heads=1, ffn=256))
    assert 0 < probe(small, HEAD) < probe(TEACHER, HEAD)


def test_a_student_of_fewer_words(build, tmp_path):
    """Texts are cut for the teacher: the words that the student is to have are chosen later."""
    smaller = TEACHER.model_copy(update={"vocabulary": 20})
    assert LatencyProbe(build, dev_data(), known=tmp_path / "latencies.json")(smaller, HEAD) > 0


def test_a_translator_of_fewer_words(tmp_path):
    """Marian's padding is its last word."""
    config = MarianConfig(vocab_size=64, pad_token_id=63, eos_token_id=0, decoder_start_token_id=63)
    shape = EncoderDecoderShape(encoder_layers=1, decoder_layers=1, hidden=16, heads=2, ffn=32)
    architecture = EncoderDecoderArchitecture(shape=shape, vocabulary=30, positions=128)
    data = replace(dev_data(texts(10, words=8)), task="translation", labels=[], vocabulary=64)
    data = replace(data, pad_id=63, dev=replace(data.dev, labels=None, targets=texts(10, words=8)))
    build = partial(build_network, config_within(config, architecture.vocabulary))
    assert LatencyProbe(build, data, known=tmp_path / "latencies.json")(architecture, data.head) > 0


def test_each_is_measured_once(build, tmp_path):
    known = tmp_path / "latencies.json"
    first = LatencyProbe(build, dev_data(), known=known)(TEACHER, HEAD)
    again = LatencyProbe(build, dev_data(), known=known)
    assert again(TEACHER, HEAD) == first
    assert len(build.built) == 1
    again(TEACHER, HEAD.model_copy(update={"outputs": 3}))
    assert len(build.built) == 2


def test_the_job_s_own_draws_stay_as_they_were(build, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    LatencyProbe(build, dev_data(), known=tmp_path / "latencies.json")(TEACHER, HEAD)
    assert torch.equal(torch.rand(4), expected)


def test_a_plan_by_what_was_measured(build, tmp_path):
    probe = LatencyProbe(build, dev_data(), known=tmp_path / "latencies.json")
    limit_ms = probe(TEACHER, HEAD) / 2
    target = Target(max_latency_ms=limit_ms)
    plan = plan_student(TEACHER, ScratchSpec(name="scratch"), target, head=HEAD, latency=probe)
    assert plan.latency_ms == probe(plan.architecture, HEAD) <= limit_ms
    assert len(build.built) <= 1 + 7
