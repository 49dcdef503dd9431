"""Which students a method can make of a teacher: the shapes that a budget chooses among."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from pydantic import BaseModel

from app.domain.architectures import (
    AnyShape,
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
    StaticArchitecture,
    StaticShape,
    TfidfArchitecture,
    TfidfShape,
)
from app.domain.errors import InvalidRequest
from app.domain.methods import Spec
from app.domain.tasks import Head

LatencyOf: TypeAlias = Callable[[Architecture, Head], float]
"""Milliseconds that a network takes for one text."""

_SMALLEST_WIDTH: Final = 8
_RANKS: Final = 96
"""How many ranks are tried, evenly spaced: eight apart at a width of 768."""

_BILSTM_EMBEDDINGS: Final = (50, 100, 200, 300)
_BILSTM_WIDTHS: Final = (100, 200, 300, 400, 600)
_TERMS: Final = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)


def student_architecture(teacher: Architecture, method: Spec, shape: AnyShape) -> Architecture:
    """The student of a teacher at a shape.

    Raises:
        InvalidRequest: the shape is of a kind that the method does not make of this teacher.
    """
    match teacher, shape:
        case EncoderArchitecture(), BiLstmShape() if "bilstm" in method.students:
            return BiLstmArchitecture(shape=shape, vocabulary=teacher.vocabulary, positions=teacher.positions)
        case EncoderArchitecture(), TfidfShape() if "tfidf" in method.students:
            return TfidfArchitecture(shape=shape, vocabulary=teacher.vocabulary, positions=teacher.positions)
        case EncoderArchitecture(), StaticShape() if "static" in method.students:
            return StaticArchitecture(shape=shape, vocabulary=teacher.vocabulary, positions=teacher.positions)
        case EncoderArchitecture(), EncoderShape() if "same_family" in method.students:
            schedule = method.layer_schedule(shape.layers)
            return teacher.at(shape).model_copy(update={"schedule": schedule})
        case EncoderDecoderArchitecture(), EncoderDecoderShape():
            return teacher.at(shape)
    raise _wrong_kind(teacher, method, shape)


def family(
    teacher: Architecture, method: Spec, *, embedding: int | None, dimensions: Iterable[int] = ()
) -> Iterator[Architecture]:
    """Students that the method makes of the teacher, none larger than it in any dimension.

    Args:
        teacher: what they are made of.
        method: what it varies is said at each family below.
        embedding: width that the word table is to have; None: as the family has it, or the teacher's where
            its family projects it.
        dimensions: that static vectors may have.
    """
    shapes: Iterable[AnyShape]
    match teacher:
        case EncoderArchitecture() if method.students[0] == "bilstm":
            shapes = published_bilstms(embedding, projection=teacher.shape.hidden)
        case EncoderArchitecture() if method.students[0] == "tfidf":
            shapes = numbers_of_terms()
        case EncoderArchitecture() if method.students[0] == "static":
            shapes = (StaticShape(dimensions=each) for each in dimensions)
        case EncoderArchitecture():
            shapes = _encoders(teacher, method, embedding)
        case EncoderDecoderArchitecture():
            shapes = _translators(teacher.shape, method)
        case BiLstmArchitecture() | TfidfArchitecture() | StaticArchitecture():
            shapes = ()
    students = (student_architecture(teacher, method, shape) for shape in shapes)
    return (student for student in students if finds_embeddings(teacher, method, student))


def finds_embeddings(teacher: Architecture, method: Spec, student: Architecture) -> bool:
    """Whether a method that reads weights finds the student's embeddings in the teacher's.

    Where a family projects them to the width of its layers they keep their size.
    """
    if not method.reads_weights:
        return True
    if not isinstance(teacher, EncoderArchitecture) or not isinstance(student, EncoderArchitecture):
        return True
    return teacher.projected_embedding == student.projected_embedding


def _encoders(teacher: EncoderArchitecture, method: Spec, embedding: int | None) -> Iterator[EncoderShape]:
    """Shapes with the teacher's ratio of ffn to hidden and, where heads are not kept, its head width."""
    t = teacher.shape
    if method.factorises:
        yield from _low_ranks(t, embedding or teacher.embedding_at(t.hidden))
        return
    for hidden, heads in _widths(teacher, method):
        width = embedding or teacher.embedding_at(hidden)
        if hidden < _SMALLEST_WIDTH or (width is not None and width >= hidden):
            continue
        narrow = EncoderShape(layers=1, hidden=hidden, heads=heads, ffn=_ffn(t, hidden), embedding=width)
        yield from (narrow.model_copy(update={"layers": depth}) for depth in _depths(t.layers, method))


def _widths(teacher: EncoderArchitecture, method: Spec) -> list[tuple[int, int]]:
    """Pairs of hidden and heads, narrow ones first."""
    t = teacher.shape
    if "hidden" in method.keeps:
        return [(t.hidden, t.heads)]
    if "heads" in method.keeps:
        step = 2 if "rotary_positions" in teacher.traits else 1  # their dimensions are turned in pairs
        return [(t.heads * head_dim, t.heads) for head_dim in range(step, t.head_dim + 1, step)]
    return [(t.head_dim * heads, heads) for heads in range(1, t.heads + 1)]


def _depths(layers: int, method: Spec) -> Iterable[int]:
    if "layers" in method.keeps:
        return [layers]
    return divisors(layers) if method.divides_depth else range(1, layers + 1)


def _low_ranks(t: EncoderShape, embedding: int | None) -> Iterator[EncoderShape]:
    """The teacher's shape at every rank, or, where there are many, at evenly spaced ones."""
    if embedding is None or embedding < t.hidden:
        widest = min(t.hidden, t.ffn)
        step = max(1, widest // _RANKS)
        for rank in range(step, widest, step):
            yield t.model_copy(update={"rank": rank, "embedding": embedding})


def published_bilstms(embedding: int | None, *, projection: int) -> Iterator[BiLstmShape]:
    """The published sizes (XtremeDistil, 2020), with a projection in which a teacher's states are learnt."""
    for width in _BILSTM_EMBEDDINGS if embedding is None else (embedding,):
        for hidden in _BILSTM_WIDTHS:
            yield BiLstmShape(embedding=width, hidden=hidden, projection=projection)


def numbers_of_terms() -> Iterator[TfidfShape]:
    """Round ones, up to as many as a large data set has that are of use."""
    for terms in _TERMS:
        yield TfidfShape(terms=terms)


def _translators(t: EncoderDecoderShape, method: Spec) -> Iterator[EncoderDecoderShape]:
    """Shapes with the teacher's head widths and its ratios of ffn to hidden.

    A search that is ``decoder_first`` keeps the encoder, or narrows it beside a single decoder layer: the
    decoder is what costs time, word after word.
    """
    widths = range(1, t.heads + 1)
    encoder_depths, decoder_depths = _depths(t.encoder_layers, method), _depths(t.decoder_layers, method)
    if method.translator_search == "decoder_first":
        for heads in range(1, t.decoder.heads + 1):
            for depth in decoder_depths:
                yield from _joined(t.encoder, _narrowed(t.decoder, heads, layers=depth))
        widths, encoder_depths, decoder_depths = widths[:-1], [t.encoder_layers], [1]
    for heads in widths:
        decoder_heads, remainder = divmod(t.decoder.heads * heads, t.heads)
        if remainder:
            continue
        for encoder_layers in encoder_depths:
            encoder = _narrowed(t.encoder, heads, layers=encoder_layers)
            for decoder_layers in decoder_depths:
                yield from _joined(encoder, _narrowed(t.decoder, decoder_heads, layers=decoder_layers))


def divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _narrowed(t: EncoderShape, heads: int, *, layers: int) -> EncoderShape | None:
    """With fewer heads of the same width; None below the smallest width there is."""
    hidden = heads * t.head_dim
    if hidden < _SMALLEST_WIDTH:
        return None
    return EncoderShape(layers=layers, hidden=hidden, heads=heads, ffn=_ffn(t, hidden))


def _ffn(t: EncoderShape, hidden: int) -> int:
    return max(_SMALLEST_WIDTH, t.ffn * hidden // t.hidden)


def _joined(encoder: EncoderShape | None, decoder: EncoderShape | None) -> Iterator[EncoderDecoderShape]:
    if encoder is None or decoder is None:
        return
    yield EncoderDecoderShape(
        encoder_layers=encoder.layers,
        decoder_layers=decoder.layers,
        hidden=encoder.hidden,
        heads=encoder.heads,
        ffn=encoder.ffn,
        decoder_hidden=decoder.hidden if decoder.hidden != encoder.hidden else None,
        decoder_heads=decoder.heads if decoder.heads != encoder.heads else None,
        decoder_ffn=decoder.ffn if decoder.ffn != encoder.ffn else None,
    )


def _wrong_kind(teacher: Architecture, method: Spec, shape: AnyShape) -> InvalidRequest:
    match teacher:
        case EncoderArchitecture() if method.students[0] == "bilstm":
            wanted: type[BaseModel] = BiLstmShape
        case EncoderArchitecture() if method.students[0] == "tfidf":
            wanted = TfidfShape
        case EncoderArchitecture():
            wanted = EncoderShape
        case EncoderDecoderArchitecture():
            wanted = EncoderDecoderShape
        case BiLstmArchitecture() | TfidfArchitecture():
            return InvalidRequest(
                "incompatible_teacher",
                f"{method.name} does not support a {teacher.record.title} teacher. Use a transformer.",
                pointer="#/teacher",
            )
    fields = [name for name, field in wanted.model_fields.items() if field.is_required()]
    return InvalidRequest(
        "invalid_shape",
        f"{method.name} needs a shape with {', '.join(fields)} for this teacher; got {shape}.",
        pointer="#/target/shape",
    )
