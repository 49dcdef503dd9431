"""What planner and worker know of one network: its family, its shape and the sizes of its tables."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.domain.architectures.config import EncoderConfig, FamilyConfig, LayerUse, Structure
from app.domain.architectures.count import ParameterCount
from app.domain.architectures.family import (
    BiLstmFamily,
    EncoderDecoderFamily,
    EncoderFamily,
    EncoderTrait,
    Family,
    StaticFamily,
    TfidfFamily,
)
from app.domain.architectures.heads import head_kind
from app.domain.architectures.layers import Sizes
from app.domain.architectures.registry import BILSTMS, ENCODER_DECODERS, ENCODERS, FAMILIES, STATICS, TFIDFS
from app.domain.architectures.shape import (
    BiLstmShape,
    EncoderDecoderShape,
    EncoderShape,
    NetworkShape,
    StaticShape,
    TfidfShape,
)
from app.domain.architectures.tensors import Shapes, parameters
from app.domain.tasks import Head
from app.domain.tasks.record import HeadKind, NetworkKind

if TYPE_CHECKING:
    FamilyName: TypeAlias = str
    EncoderFamilyName: TypeAlias = str
    EncoderDecoderFamilyName: TypeAlias = str
    BiLstmFamilyName: TypeAlias = str
    TfidfFamilyName: TypeAlias = str
    StaticFamilyName: TypeAlias = str
else:  # a type checker cannot know what the registry finds
    FamilyName = Literal[tuple(FAMILIES)]
    EncoderFamilyName = Literal[tuple(ENCODERS)]
    EncoderDecoderFamilyName = Literal[tuple(ENCODER_DECODERS)]
    BiLstmFamilyName = Literal[tuple(BILSTMS)]
    TfidfFamilyName = Literal[tuple(TFIDFS)]
    StaticFamilyName = Literal[tuple(STATICS)]


_Shape = TypeVar("_Shape", bound=NetworkShape)


class _Network(BaseModel, Generic[_Shape]):
    """What the architectures of all kinds are, and the answers of those to which a question is foreign."""

    model_config = ConfigDict(frozen=True)

    kind: ClassVar[NetworkKind]

    family: str
    shape: _Shape
    vocabulary: int
    positions: int

    @property
    def record(self) -> Family:
        return FAMILIES[self.family]

    @property
    def sizes(self) -> Sizes:
        """All dimensions, by the names that the families' records use."""
        return {"vocabulary": self.vocabulary, "positions": self.positions, **self.shape.sizes}

    @property
    def width(self) -> int:
        """Of the states that a head reads; 0 where there are none."""
        return self.sizes.get("hidden", 0)

    @property
    def has_factorised_words(self) -> bool:
        """Whether its word table is narrower than its family has it, and a matrix follows it."""
        return False

    @property
    def unfolded(self) -> Self:
        """With its family's own word table and each layer run once, as a teacher has them."""
        return self

    @property
    def sines(self) -> int:
        """Numbers of positions that are no parameters, but lie beside the weights."""
        return 0

    def config_values(self) -> dict[str, Any]:
        """The dimensions as a config of the family says them."""
        return self.record.config_values(self.sizes)

    def at(self, shape: _Shape) -> Self:
        return self.model_copy(update={"shape": shape})


class EncoderArchitecture(_Network[EncoderShape]):
    """Architecture of an encoder: its family, its shape and the sizes of its embeddings."""

    kind: ClassVar[NetworkKind] = "encoder"

    family: EncoderFamilyName
    token_types: int
    details: dict[str, int] = Field(
        default_factory=dict, description="Other sizes that networks of its family have, and switches (0, 1)."
    )
    schedule: tuple[LayerUse, ...] | None = Field(
        default=None,
        description="Order in which layers run, with repeats; default: each once, in order.",
    )

    @classmethod
    def of_config(cls, config: EncoderConfig) -> "EncoderArchitecture":
        """The network of a config.

        Raises:
            ValueError: its sizes do not go together.
        """
        sizes, given = ENCODERS[config.model_type].read_sizes(config), config.squeeze or Structure()
        layers, hidden = sizes["layers"], sizes["hidden"]
        if given.embedding is not None and "embedding" in sizes:
            raise ValueError("embedding is said by embedding_size in this family")
        if given.schedule and {use.layer for use in given.schedule} != set(range(layers)):
            raise ValueError(f"schedule must use each of the {layers} layers and no others")
        width = sizes.get("embedding", hidden)
        return cls(
            family=config.model_type,
            shape=EncoderShape(
                layers=layers,
                hidden=hidden,
                heads=sizes["heads"],
                ffn=sizes["ffn"],
                rank=given.rank,
                embedding=given.embedding if width == hidden else width,
            ),
            vocabulary=sizes["vocabulary"],
            positions=sizes["positions"],
            token_types=sizes.get("token_types", 0),
            details={name: sizes[name] for name in ENCODERS[config.model_type].details},
            schedule=None if given.schedule is None else tuple(given.schedule),
        )

    @property
    def record(self) -> EncoderFamily:
        return ENCODERS[self.family]

    @property
    def sizes(self) -> Sizes:
        return {**super().sizes, "token_types": self.token_types, **self.details}

    @property
    def traits(self) -> frozenset[EncoderTrait]:
        return self.record.traits(self.sizes)

    @property
    def projects(self) -> bool:
        """Whether its family projects the embeddings to the width of the layers."""
        return "projected_embeddings" in self.traits

    @property
    def projected_embedding(self) -> int | None:
        """The embedding size that is projected to the width of the layers; None where they are the same."""
        return self.shape.word_width if self.projects else None

    def embedding_at(self, hidden: int) -> int | None:
        """The embedding size at another width: its own where it is projected and narrower, else None."""
        own = self.shape.embedding if self.projects else None
        return own if own is not None and own < hidden else None

    @property
    def has_factorised_words(self) -> bool:
        return self.shape.embedding is not None and self.record.embeddings.projection is None

    @property
    def unfolded(self) -> Self:
        if not self.has_factorised_words:
            return self.at(self.shape)
        return self.at(self.shape.model_copy(update={"embedding": None}))

    @property
    def is_plain(self) -> bool:
        """Whether others than this service know such networks: no factors, and no layer scheduled twice."""
        return self.shape.rank is None and not self.has_factorised_words and self.schedule is None

    @property
    def runs(self) -> int:
        """How many layers a text goes through."""
        return self.shape.layers if self.schedule is None else len(self.schedule)

    @property
    def stored_layers(self) -> int:
        """How many layers have parameters of their own."""
        return self.record.stack.stored(self.shape.layers)

    def count(self, *, head: Head) -> ParameterCount:
        """Parameters with a head.

        Equal to what the networks hold; ``tests/worker/networks/test_families.py`` compares the two.
        """
        sizes, record = self.sizes, self.record
        layers = record.stack.parameters(self.stored_layers, sizes, rank=self.shape.rank)
        common = parameters(record.stack.common_tensors(sizes))
        return ParameterCount(
            embeddings=parameters(record.embeddings.tensors(sizes)),
            encoder=layers + common,
            head=parameters(record.head_tensors(head_kind(head.task), sizes, outputs=head.outputs)),
        )

    def tensors(self) -> Shapes:
        """Every tensor of the encoder without its head, as ``save_pretrained`` writes them."""
        stack, sizes = self.record.stack, self.sizes
        shapes = self.record.embeddings.tensors(sizes) | stack.common_tensors(sizes)
        for place in self._stored_places():
            shapes |= stack.layer_tensors(place, sizes, rank=self.shape.rank)
        return shapes

    def head_tensors(self, kind: HeadKind, *, outputs: int) -> Shapes:
        return self.record.head_tensors(kind, self.sizes, outputs=outputs)

    def head_copies(self, kind: HeadKind) -> dict[str, str]:
        """Tensors of a head that may be stored a second time, and which they repeat."""
        return self.record.heads[kind].copies(self.record.embeddings.words)

    def class_name(self, head: HeadKind | None) -> str | None:
        """Of the class that reads such a network; None where transformers' would misread it."""
        return self.record.class_name(head) if self.is_plain else None

    def at(self, shape: EncoderShape) -> Self:
        """With each layer run once."""
        return self.model_copy(update={"shape": shape, "schedule": None})

    def _stored_places(self) -> list[int]:
        """The places of the layers in the order they run in: where one runs again it is not stored again."""
        if self.schedule is None:
            return list(range(self.stored_layers))
        order = [use.layer for use in self.schedule]
        return [order.index(layer) for layer in range(self.shape.layers)]


class EncoderDecoderArchitecture(_Network[EncoderDecoderShape]):
    """Architecture of a translation model of the Marian family."""

    kind: ClassVar[NetworkKind] = "encoder_decoder"
    token_types: ClassVar[int] = 0

    family: EncoderDecoderFamilyName = "marian"

    @classmethod
    def of_config(cls, config: FamilyConfig) -> "EncoderDecoderArchitecture":
        """The network of a config.

        Raises:
            ValueError: its sizes do not go together.
        """
        sizes: dict[str, int | None] = dict(ENCODER_DECODERS[config.model_type].read_sizes(config))
        for decoder, encoder in {
            "decoder_hidden": "hidden",
            "decoder_heads": "heads",
            "decoder_ffn": "ffn",
        }.items():
            if sizes.get(decoder) == sizes[encoder]:
                sizes[decoder] = None
        return cls.model_validate(
            {
                "family": config.model_type,
                "shape": {name: sizes.get(name) for name in EncoderDecoderShape.model_fields},
                "vocabulary": sizes["vocabulary"],
                "positions": sizes["positions"],
            }
        )

    @property
    def record(self) -> EncoderDecoderFamily:
        return ENCODER_DECODERS[self.family]

    def count(self, *, head: Head) -> ParameterCount:  # noqa: ARG002 - its words are the table's
        """Parameters; positions are sines, the output's bias is fixed."""
        s, record = self.shape, self.record
        encoder, decoder = _side_sizes(s).values()
        return ParameterCount(
            embeddings=parameters(record.word_tensors(self.sizes)),
            encoder=record.encoder.parameters(s.encoder_layers, encoder),
            decoder=record.decoder.parameters(s.decoder_layers, decoder),
            head=0,
        )

    def tensors(self) -> Shapes:
        """Every tensor that is learnt, as ``save_pretrained`` writes them."""
        shapes, sides = self.record.word_tensors(self.sizes), _side_sizes(self.shape)
        for layer in range(self.shape.encoder_layers):
            shapes |= self.record.encoder.layer_tensors(layer, sides["encoder"])
        for layer in range(self.shape.decoder_layers):
            shapes |= self.record.decoder.layer_tensors(layer, sides["decoder"])
        return shapes

    def copies(self) -> dict[str, str]:
        """Tensors that may be stored a second time, and which they repeat."""
        return self.record.copies(self.sizes)

    def output_bias(self) -> Shapes:
        """It may be stored, and is not learnt."""
        return {self.record.output_bias: (1, self.vocabulary)}

    def sine_tables(self) -> Shapes:
        """The positions, which may be stored, and are not learnt."""
        widths = {side: sizes["hidden"] for side, sizes in _side_sizes(self.shape).items()}
        return {f"{name}.weight": (self.positions, widths[side]) for side, name in self.record.sines.items()}

    @property
    def sines(self) -> int:
        return parameters(self.sine_tables())

    def class_name(self, head: HeadKind | None) -> str | None:  # noqa: ARG002 - there is but one class
        """Of the class that reads such a network; None where transformers' would misread it."""
        return self.record.class_name if self.shape.shares_embeddings else None


def _side_sizes(s: EncoderDecoderShape) -> dict[str, Sizes]:
    """Those of the layers of the encoder, and of the decoder."""
    return {
        side: {"hidden": stack.hidden, "heads": stack.heads, "ffn": stack.ffn, "memory": s.hidden}
        for side, stack in {"encoder": s.encoder, "decoder": s.decoder}.items()
    }


class BiLstmArchitecture(_Network[BiLstmShape]):
    """Architecture of a BiLSTM: its shape and its vocabulary size."""

    kind: ClassVar[NetworkKind] = "bilstm"
    token_types: ClassVar[int] = 0

    family: BiLstmFamilyName = "bilstm"

    @classmethod
    def of_config(cls, config: FamilyConfig) -> "BiLstmArchitecture":
        """The network of a config.

        Raises:
            ValueError: a size is out of bounds.
        """
        sizes = BILSTMS[config.model_type].read_sizes(config)
        return cls(
            family=config.model_type,
            shape=BiLstmShape(
                embedding=sizes["embedding"], hidden=sizes["hidden"], projection=sizes["projection"]
            ),
            vocabulary=sizes["vocabulary"],
            positions=sizes["positions"],
        )

    @property
    def record(self) -> BiLstmFamily:
        return BILSTMS[self.family]

    def count(self, *, head: Head) -> ParameterCount:
        """Parameters with a head."""
        sizes, record = self.sizes, self.record
        return ParameterCount(
            embeddings=parameters(record.word_tensors(sizes)),
            encoder=parameters(record.encoder_tensors(sizes)),
            head=parameters(record.head_tensors(sizes, outputs=head.outputs)),
        )

    def tensors(self) -> Shapes:
        """Every tensor without the head's."""
        return self.record.word_tensors(self.sizes) | self.record.encoder_tensors(self.sizes)

    def head_tensors(self, *, outputs: int) -> Shapes:
        return self.record.head_tensors(self.sizes, outputs=outputs)

    def class_name(self, head: HeadKind | None) -> str:
        """Of the worker's class for such a network."""
        return self.record.class_name(head)


class TfidfArchitecture(_Network[TfidfShape]):
    """Architecture of a linear classifier over TF-IDF: how many terms it weighs, of which vocabulary."""

    kind: ClassVar[NetworkKind] = "tfidf"
    token_types: ClassVar[int] = 0

    family: TfidfFamilyName = "tfidf"

    @classmethod
    def of_config(cls, config: FamilyConfig) -> "TfidfArchitecture":
        """The network of a config."""
        sizes = TFIDFS[config.model_type].read_sizes(config)
        return cls(
            family=config.model_type,
            shape=TfidfShape(terms=sizes["terms"]),
            vocabulary=sizes["vocabulary"],
            positions=sizes["positions"],
        )

    @property
    def record(self) -> TfidfFamily:
        return TFIDFS[self.family]

    def count(self, *, head: Head) -> ParameterCount:
        """Parameters with a head; which terms there are is not learnt, and not counted."""
        return ParameterCount(
            embeddings=0,
            encoder=self.shape.terms,
            head=parameters(self.record.head_tensors(self.sizes, outputs=head.outputs)),
        )

    def tensors(self) -> Shapes:
        """Every tensor that is learnt, without the head's."""
        return {self.record.idf: (self.shape.terms,)}

    def key_tensors(self) -> Shapes:
        """What says which terms there are."""
        return {self.record.keys: (self.shape.terms,)}

    def head_tensors(self, *, outputs: int) -> Shapes:
        return self.record.head_tensors(self.sizes, outputs=outputs)

    def class_name(self, head: HeadKind | None) -> str:
        """Of the worker's class for such a network."""
        return self.record.class_name(head)


class StaticArchitecture(_Network[StaticShape]):
    """Architecture of static embeddings: the dimensions of a vector and the vocabulary size."""

    kind: ClassVar[NetworkKind] = "static"
    token_types: ClassVar[int] = 0

    family: StaticFamilyName = "static"

    @classmethod
    def of_config(cls, config: FamilyConfig) -> "StaticArchitecture":
        """The table of a config.

        Raises:
            ValueError: a size is out of bounds.
        """
        sizes = STATICS[config.model_type].read_sizes(config)
        return cls(
            family=config.model_type,
            shape=StaticShape(dimensions=sizes["dimensions"]),
            vocabulary=sizes["vocabulary"],
            positions=sizes["positions"],
        )

    @property
    def record(self) -> StaticFamily:
        return STATICS[self.family]

    @property
    def width(self) -> int:
        return self.shape.dimensions

    def count(self, *, head: Head) -> ParameterCount:  # noqa: ARG002 - the table's rows are the answer's parts
        """Parameters of the table."""
        return ParameterCount(embeddings=parameters(self.tensors()), encoder=0, head=0)

    def tensors(self) -> Shapes:
        """The table."""
        return self.record.word_tensors(self.sizes)

    def class_name(self, head: HeadKind | None) -> str:
        """Of the worker's class for such a table."""
        return self.record.class_name(head)


Architecture: TypeAlias = Annotated[
    EncoderArchitecture
    | EncoderDecoderArchitecture
    | BiLstmArchitecture
    | TfidfArchitecture
    | StaticArchitecture,
    Field(discriminator="family"),
]


def encoder_of(architecture: Architecture) -> EncoderArchitecture:
    """The architecture itself, for what is done to encoders alone: planning has refused all others.

    Raises:
        TypeError: it is of another kind.
    """
    if not isinstance(architecture, EncoderArchitecture):
        raise TypeError(f"{architecture.family} is no encoder")
    return architecture


def architecture_of(config: FamilyConfig) -> Architecture:
    """The network of a config.

    Raises:
        ValueError: its sizes do not go together, or are out of bounds.
    """
    if isinstance(config, EncoderConfig):
        return EncoderArchitecture.of_config(config)
    if config.model_type in ENCODER_DECODERS:
        return EncoderDecoderArchitecture.of_config(config)
    if config.model_type in TFIDFS:
        return TfidfArchitecture.of_config(config)
    if config.model_type in STATICS:
        return StaticArchitecture.of_config(config)
    return BiLstmArchitecture.of_config(config)
