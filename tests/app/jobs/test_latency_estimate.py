"""The estimate of a plan: matrix products, timed."""

import pytest

from app.domain.architectures import Architecture, EncoderDecoderShape, EncoderShape
from app.domain.methods import layer_schedule
from app.domain.tasks import Head
from app.jobs.latency_estimate import estimate_latency_ms
from tests.app.jobs.shelf import BILSTM, ENCODER, TRANSLATOR

CLASSES = Head(task="text_classification", outputs=2)
WORDS = Head(task="masked_language_modeling", outputs=ENCODER.vocabulary)
TRANSLATION = Head(task="translation", outputs=TRANSLATOR.vocabulary)
SMALL = ENCODER.at(EncoderShape(layers=2, hidden=64, heads=2, ffn=256))
SHORT_DECODER = TRANSLATOR.at(
    EncoderDecoderShape(encoder_layers=6, decoder_layers=1, hidden=512, heads=8, ffn=2048)
)


@pytest.mark.parametrize(
    ("small", "large", "head"),
    [
        (SMALL, ENCODER, CLASSES),
        (BILSTM, ENCODER, CLASSES),
        (SHORT_DECODER, TRANSLATOR, TRANSLATION),
    ],
)
def test_what_computes_less_takes_less(small: Architecture, large: Architecture, head: Head):
    assert 0 < estimate_latency_ms(small, head) < estimate_latency_ms(large, head)


def test_layers_that_run_twice_count_twice():
    shared = ENCODER.model_copy(update={"schedule": layer_schedule("shuffled", 6)})
    head_ms = estimate_latency_ms(ENCODER.at(ENCODER.shape.model_copy(update={"layers": 1})), CLASSES)
    once, twice = (estimate_latency_ms(architecture, CLASSES) for architecture in (ENCODER, shared))
    layer_ms = (twice - once) / 6
    assert layer_ms == pytest.approx((once - head_ms) / 5)


def test_two_thin_products_take_less_than_one():
    low = ENCODER.at(ENCODER.shape.model_copy(update={"rank": 8}))
    assert estimate_latency_ms(low, CLASSES) < estimate_latency_ms(ENCODER, CLASSES)


def test_an_answer_for_every_word_counts():
    assert estimate_latency_ms(SMALL, WORDS) > estimate_latency_ms(SMALL, CLASSES)


def test_the_same_card_takes_the_same_time():
    """A plan must not change between two requests."""
    assert estimate_latency_ms(ENCODER, CLASSES) == estimate_latency_ms(ENCODER, CLASSES)
