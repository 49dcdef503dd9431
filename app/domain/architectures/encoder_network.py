"""What planner and worker know of one encoder."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

from pydantic import Field

from app.domain.architectures.config import EncoderConfig, LayerUse, Structure
from app.domain.architectures.count import ParameterCount
from app.domain.architectures.family import EncoderFamily, EncoderTrait
from app.domain.architectures.heads import head_kind
from app.domain.architectures.layers import Sizes
from app.domain.architectures.network import NetworkArchitecture
from app.domain.architectures.registry import ENCODERS
from app.domain.architectures.shape import EncoderShape
from app.domain.architectures.tensors import Shapes, parameters
from app.domain.tasks import Head
from app.domain.tasks.record import HeadKind, NetworkKind

if TYPE_CHECKING:
    EncoderFamilyName: TypeAlias = str
else:  # a type checker cannot know what the registry finds
    EncoderFamilyName = Literal[tuple(ENCODERS)]


class EncoderArchitecture(NetworkArchitecture[EncoderShape]):
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
