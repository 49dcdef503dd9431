"""Whether a shape that a client gives is one that the method can make of the teacher."""

from typing import Final

from pydantic import ValidationError

from app.domain.architectures import (
    MAX_BILSTM_EMBEDDING,
    AnyShape,
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
    EncoderTrait,
    StaticArchitecture,
    StaticShape,
    TfidfArchitecture,
    TfidfShape,
)
from app.domain.documents import Target
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS, Spec
from app.domain.planning.search_space import divisors, finds_embeddings
from app.domain.tasks import Head, tasks_of

_SHAPE = "#/target/shape"


def require_teacher(teacher: Architecture, method: Spec) -> None:
    """Refuse a teacher whose weights are not where the method looks for them.

    Raises:
        InvalidRequest: it is a BiLSTM or of TF-IDF, or its layers are shared or factorised and the method
            reads weights; its family has a trait that the method does not support; or it has not the layer
            that the method names.
    """
    if method.card.keeps_size:
        return  # it is trained as it is
    if isinstance(teacher, EncoderArchitecture):
        _require_layers(method.named_layers, teacher.shape.layers)
        _require_traits(teacher, method)
    if isinstance(teacher, (BiLstmArchitecture, TfidfArchitecture)):
        what = f"a {teacher.record.title} model"
    elif isinstance(teacher, StaticArchitecture):
        what = "a table of static vectors"
    elif not isinstance(teacher, EncoderArchitecture) or not method.reads_weights:
        return
    elif teacher.schedule is not None:
        what = "a network with shared layers"
    elif teacher.shape.rank is not None or teacher.has_factorised_words:
        what = f"a factorised network, {teacher.shape}"
    else:
        return
    raise InvalidRequest(
        "incompatible_teacher",
        f"The teacher is {what}; {method.name} needs a transformer without shared or factorised weights. "
        "Use the teacher that this model was compressed from.",
        pointer="#/teacher",
    )


_TRAITS: Final[dict[EncoderTrait, str]] = {
    "projected_embeddings": "embeddings are projected to the width of its layers",
    "relative_bias": "layers share a relative position bias",
    "relative_embeddings": "queries and keys read relative positions",
    "rotary_positions": "positions are rotary, so that the dimensions of heads belong together in pairs",
    "shared_layers": "layers share their weights",
    "unlike_layers": "layers differ in what they attend to and where their norms are",
}
"""What is said of a teacher."""


def _require_traits(teacher: EncoderArchitecture, method: Spec) -> None:
    for trait, reason in method.unsupported_traits.items():
        if trait in teacher.traits:
            raise InvalidRequest(
                "incompatible_teacher",
                f"The teacher's {_TRAITS[trait]}, which {method.name} does not support: {reason}.",
                pointer="#/teacher",
                trait=trait,
            )


def _require_layers(named: dict[str, int], layers: int) -> None:
    for setting, layer in named.items():
        if layer > layers:
            raise InvalidRequest(
                "teacher_layer_out_of_range",
                f"{setting} is {layer}, but the teacher has {layers} layers. Use 0 (the embeddings) to "
                f"{layers}.",
                pointer=f"#/method/{setting}",
                largest=layers,
            )


def require_fitting(teacher: AnyShape, method: Spec, shape: AnyShape, *, head: Head) -> None:
    """Refuse a shape that the method cannot make, naming the dimension and what it could be.

    Raises:
        InvalidRequest: a dimension is larger than the teacher's, or differs where the method keeps it, or
            does not divide where it groups.
    """
    match teacher, shape:
        case EncoderShape(), BiLstmShape():
            _require_bilstm_task(head)
            if "projection" in method.keeps:
                _require_same("projection", shape.projection, teacher.hidden, method, whose="hidden width")
        case EncoderShape(), StaticShape():
            _require_within("dimensions", shape.dimensions, head.outputs)
        case EncoderShape(), EncoderShape():
            _require_encoder(teacher, method, shape)
        case EncoderDecoderShape(), EncoderDecoderShape():
            _require_translator(teacher, method, shape)


def require_head_pairs(student: Architecture) -> None:
    """Refuse heads of an odd size where positions turn their dimensions in pairs.

    Raises:
        InvalidRequest: they are.
    """
    if not isinstance(student, EncoderArchitecture) or "rotary_positions" not in student.traits:
        return
    if student.shape.head_dim % 2:
        raise InvalidRequest(
            "invalid_shape",
            f"The student's head size (hidden / heads) is {student.shape.head_dim}; the rotary positions of "
            f"{student.record.title} need an even one. Change hidden or heads.",
            pointer=f"{_SHAPE}/heads",
        )


def _require_bilstm_task(head: Head) -> None:
    if "bilstm" not in head.record.networks:
        raise InvalidRequest(
            "invalid_shape",
            f"A BiLSTM supports {' and '.join(tasks_of('bilstm'))}; the task is {head.task}. "
            "Use the shape of an encoder.",
            pointer=_SHAPE,
        )


def _require_encoder(teacher: EncoderShape, method: Spec, shape: EncoderShape) -> None:
    for name in ("layers", "hidden", "heads", "ffn"):
        _require_within(name, getattr(shape, name), getattr(teacher, name))
    if method.factorises:
        _require_rank(teacher, shape, method)
    elif shape.rank is not None:
        factorising = [name for name, spec in METHOD_SPECS.items() if spec.factorises]
        raise InvalidRequest(
            "invalid_shape",
            f"{method.name} does not factorise matrices. Omit rank or use the method "
            f"{' or '.join(factorising)}.",
            pointer=f"{_SHAPE}/rank",
        )
    if method.divides_depth:
        _require_divisor("layers", shape.layers, teacher.layers, method)
    for name in method.keeps:
        _require_same(name, getattr(shape, name), getattr(teacher, name), method)
    _require_head_width("heads", shape, teacher, method)


def _require_translator(teacher: EncoderDecoderShape, method: Spec, shape: EncoderDecoderShape) -> None:
    for prefix, ours, theirs in (
        ("encoder", shape.encoder, teacher.encoder),
        ("decoder", shape.decoder, teacher.decoder),
    ):
        depth = f"{prefix}_layers"
        _require_within(depth, ours.layers, theirs.layers)
        if method.divides_depth:
            _require_divisor(depth, ours.layers, theirs.layers, method)
        for name in ("hidden", "heads", "ffn"):
            field = name if prefix == "encoder" else f"decoder_{name}"
            _require_within(field, getattr(ours, name), getattr(theirs, name))
        _require_head_width("heads" if prefix == "encoder" else "decoder_heads", ours, theirs, method)


def _require_within(name: str, ours: int, theirs: int) -> None:
    if ours > theirs:
        raise InvalidRequest(
            "target_too_large",
            f"The student's {name} ({ours}) is larger than the teacher's ({theirs}). Use at most {theirs}.",
            pointer=f"{_SHAPE}/{name}",
            largest=theirs,
        )


def _require_head_width(field: str, ours: EncoderShape, theirs: EncoderShape, method: Spec) -> None:
    if method.reads_weights and ours.head_dim > theirs.head_dim:
        raise InvalidRequest(
            "invalid_shape",
            f"The student's head size (hidden / heads) is {ours.head_dim}; {method.name} needs at most the "
            f"teacher's {theirs.head_dim}. Use more heads.",
            pointer=f"{_SHAPE}/{field}",
            largest=theirs.head_dim,
        )


def _require_same(name: str, ours: int, theirs: int, method: Spec, *, whose: str | None = None) -> None:
    if ours == theirs:
        return
    place = "/hidden" if name == "head_dim" else f"/{name}"
    what = "hidden / heads" if name == "head_dim" else name
    advice = f" {method.other_keeping}." if name in ("heads", "head_dim") and method.other_keeping else ""
    raise InvalidRequest(
        "invalid_shape",
        f"{method.qualified_name} keeps the teacher's {whose or what}: {what} must be {theirs}, not {ours}."
        f"{advice}",
        pointer=_SHAPE + place,
        expected=theirs,
    )


def _require_divisor(name: str, ours: int, theirs: int, method: Spec) -> None:
    if theirs % ours:
        raise InvalidRequest(
            "depth_not_divisible",
            f"{method.name} groups the teacher's layers evenly: {name} ({ours}) must divide the "
            f"teacher's {theirs}. Possible values: {', '.join(map(str, divisors(theirs)))}.",
            pointer=f"{_SHAPE}/{name}",
            possible=divisors(theirs),
        )


def _require_rank(teacher: EncoderShape, shape: EncoderShape, method: Spec) -> None:
    most = min(teacher.hidden, teacher.ffn)
    if shape.rank is None or shape.rank >= most:
        raise InvalidRequest(
            "invalid_shape",
            f"{method.name} needs a rank below {most}; got {shape.rank or 'none'}.",
            pointer=f"{_SHAPE}/rank",
        )


def require_relations(teacher: Architecture, method: Spec, student: Architecture) -> None:
    """Refuse relation heads that a width cannot be cut into.

    Raises:
        InvalidRequest: the teacher's width or the student's is no multiple of them.
    """
    terms = method.distillation_terms
    if terms is None or not terms.relation_weight or terms.relation_heads is None:
        return
    for whose, architecture in (("teacher", teacher), ("student", student)):
        if isinstance(architecture, EncoderArchitecture) and architecture.shape.hidden % terms.relation_heads:
            raise InvalidRequest(
                "heads_not_divisible",
                f"The {whose}'s hidden ({architecture.shape.hidden}) must be a multiple of relation_heads "
                f"({terms.relation_heads}). Omit relation_heads to use the most that divide both hidden "
                "sizes.",
                pointer="#/method/distillation/relation_heads",
            )


def with_embedding(shape: AnyShape, embedding: int | None) -> AnyShape:
    """The shape with the word table that the target asks for beside it.

    Raises:
        InvalidRequest: the two disagree, or it is no narrower than the shape.
    """
    if embedding is None or isinstance(shape, (EncoderDecoderShape, TfidfShape, StaticShape)):
        return shape
    if shape.embedding is not None and shape.embedding != embedding:
        raise InvalidRequest(
            "invalid_shape",
            f"target.embedding_size is {embedding}, but target.shape.embedding is {shape.embedding}. Set "
            "only one of them.",
            pointer="#/target/embedding_size",
        )
    return _validated(shape, embedding)


def _validated(shape: EncoderShape | BiLstmShape, embedding: int) -> AnyShape:
    try:
        return type(shape).model_validate(shape.model_dump() | {"embedding": embedding})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidRequest(
            "invalid_shape", f"{message[:1].upper()}{message[1:]}.", pointer="#/target/embedding_size"
        ) from None


def require_embedding(teacher: Architecture | None, method: Spec, target: Target) -> None:
    """Refuse to factorise a word table that the method takes as a whole, or that is an output too.

    Raises:
        InvalidRequest: it would have to, or the table is to be wider than that of any BiLSTM.
    """
    place = "embedding_size" if target.embedding_size is not None else "shape/embedding"
    own = target.shape.embedding if isinstance(target.shape, EncoderShape) else None
    asked = target.embedding_size or own
    if asked is None:
        return
    if isinstance(teacher, EncoderArchitecture) and teacher.projects and asked == teacher.shape.embedding:
        return  # as it is
    if "embedding_size" not in method.card.embedding_options:
        raise InvalidRequest(
            "target_not_allowed",
            f"{method.name} does not support factorised embeddings. Omit embedding_size; use "
            "target.vocabulary_size for smaller embeddings.",
            pointer=f"#/target/{place}",
        )
    if isinstance(teacher, EncoderDecoderArchitecture) or teacher is None:
        raise _embedding_of_translator()
    if not may_change_embedding(teacher, method):
        raise InvalidRequest(
            "target_not_allowed",
            f"{method.name} keeps the embedding size of a {teacher.family} teacher, which is "
            f"{teacher.sizes['embedding']}. Omit embedding_size; use target.vocabulary_size for smaller "
            "embeddings.",
            pointer=f"#/target/{place}",
            expected=teacher.sizes["embedding"],
        )
    if method.students[0] == "bilstm" and (target.embedding_size or 0) > MAX_BILSTM_EMBEDDING:
        raise InvalidRequest(
            "target_not_allowed",
            f"target.embedding_size is {target.embedding_size}; a BiLSTM supports at most "
            f"{MAX_BILSTM_EMBEDDING}. Use a smaller value or omit it.",
            pointer="#/target/embedding_size",
            largest=MAX_BILSTM_EMBEDDING,
        )


def may_change_embedding(teacher: Architecture, method: Spec) -> bool:
    """Whether a student's embedding may be narrower; not where a family's projection would have to follow."""
    if not isinstance(teacher, EncoderArchitecture) or "same_family" not in method.students:
        return True
    return not method.reads_weights or teacher.record.embeddings.projection is None


def require_embeddings_found(teacher: Architecture, method: Spec, student: Architecture) -> None:
    """Refuse a student so narrow that the teacher's embeddings, which keep their size, need no projection.

    Raises:
        InvalidRequest: it is.
    """
    if not finds_embeddings(teacher, method, student):
        assert isinstance(teacher, EncoderArchitecture)
        width = teacher.shape.word_width
        raise InvalidRequest(
            "invalid_shape",
            f"{method.name} keeps the teacher's embedding size ({width}): hidden must be above {width}.",
            pointer=f"{_SHAPE}/hidden",
            smallest=width + 1,
        )


def _embedding_of_translator() -> InvalidRequest:
    return InvalidRequest(
        "target_not_allowed",
        "The embeddings of a translation model are tied to its output and cannot be factorised. Omit "
        "target.embedding_size; use target.vocabulary_size for smaller embeddings.",
        pointer="#/target/embedding_size",
    )
