"""Teachers to plan for, and the spec of each method."""

from pydantic import TypeAdapter

from app.domain.architectures import (
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from app.domain.methods import METHOD_CARDS, MethodSpec
from app.domain.tasks import Head

MINILM = EncoderArchitecture(
    family="bert",
    shape=EncoderShape(layers=6, hidden=384, heads=12, ffn=1536),
    vocabulary=30_522,
    positions=512,
    token_types=2,
)
MARIAN = EncoderDecoderArchitecture(
    shape=EncoderDecoderShape(encoder_layers=6, decoder_layers=6, hidden=512, heads=8, ffn=2048),
    vocabulary=8_000,
    positions=512,
)
CLASSES = Head(task="text_classification", outputs=2)
TAGS = Head(task="token_classification", outputs=9)
WORDS = Head(task="masked_language_modeling", outputs=MINILM.vocabulary)
TRANSLATION = Head(task="translation", outputs=MARIAN.vocabulary)

_SPEC: TypeAdapter[MethodSpec] = TypeAdapter(MethodSpec)


def method(name: str, **knobs: object) -> MethodSpec:
    return _SPEC.validate_python({"name": name, **knobs})


def able(head: Head) -> list[str]:
    """The methods that make smaller models for a task."""
    return [
        name for name, method in METHOD_CARDS.items() if head.task in method.tasks and not method.keeps_size
    ]
