"""The dimensions of networks that compression changes."""

from abc import abstractmethod
from typing import Annotated, Any, Final, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from app.domain.exact_types import ExactModel

MAX_BILSTM_EMBEDDING: Final = 1024

_Width = Annotated[int, Field(ge=8, le=4096)]
_Inner = Annotated[int, Field(ge=8, le=16384)]
_Heads = Annotated[int, Field(ge=1, le=64)]
_Depth = Annotated[int, Field(ge=1, le=48)]


class NetworkShape(ExactModel):
    """What the shapes of all kinds have."""

    model_config = ConfigDict(frozen=True)

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The dimensions by the names that families' records use."""


def _require_whole_heads(name: str, width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"{name} ({width}) must be a multiple of its heads ({heads})")


class EncoderShape(NetworkShape):
    """Dimensions of an encoder."""

    layers: _Depth
    hidden: _Width
    heads: _Heads
    ffn: _Inner
    rank: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Rank of each layer's factorised matrices; default: not factorised.",
    )
    embedding: int | None = Field(
        default=None,
        ge=4,
        le=4096,
        description="Embedding size, projected to hidden by a matrix; default: the teacher's where its "
        "family has such a matrix, else hidden.",
    )

    @model_validator(mode="after")
    def _check(self) -> "EncoderShape":
        _require_whole_heads("hidden", self.hidden, self.heads)
        if self.embedding is not None and self.embedding >= self.hidden:
            raise ValueError(f"embedding ({self.embedding}) must be below hidden ({self.hidden})")
        return self

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def word_width(self) -> int:
        """Embedding size."""
        return self.embedding or self.hidden

    @property
    def sizes(self) -> dict[str, int]:
        return {
            "layers": self.layers,
            "hidden": self.hidden,
            "heads": self.heads,
            "ffn": self.ffn,
            "embedding": self.word_width,
        }

    @property
    def stacks(self) -> tuple["EncoderShape", ...]:
        """Of its lists of layers, in the order in which they run."""
        return (self,)

    def __str__(self) -> str:
        rank = f", rank {self.rank}" if self.rank else ""
        embedding = f", embedding {self.embedding}" if self.embedding else ""
        return f"{self.layers} x {self.hidden}, {self.heads} heads, ffn {self.ffn}{rank}{embedding}"


class EncoderDecoderShape(NetworkShape):
    """Dimensions of a translation model. The decoder may be shallower and narrower than the encoder."""

    encoder_layers: _Depth
    decoder_layers: _Depth
    hidden: _Width
    heads: _Heads
    ffn: _Inner
    decoder_hidden: _Width | None = Field(
        default=None, description="Default: hidden, with embeddings shared with the encoder."
    )
    decoder_heads: _Heads | None = Field(default=None, description="Default: heads.")
    decoder_ffn: _Inner | None = Field(default=None, description="Default: ffn.")

    @model_validator(mode="after")
    def _check(self) -> "EncoderDecoderShape":
        _require_whole_heads("hidden", self.hidden, self.heads)
        _require_whole_heads("decoder_hidden", self.decoder.hidden, self.decoder.heads)
        return self

    @property
    def encoder(self) -> EncoderShape:
        return EncoderShape(layers=self.encoder_layers, hidden=self.hidden, heads=self.heads, ffn=self.ffn)

    @property
    def decoder(self) -> EncoderShape:
        return EncoderShape(
            layers=self.decoder_layers,
            hidden=self.decoder_hidden or self.hidden,
            heads=self.decoder_heads or self.heads,
            ffn=self.decoder_ffn or self.ffn,
        )

    @property
    def shares_embeddings(self) -> bool:
        """Whether source, target and output words lie in one table."""
        return self.decoder_hidden in {None, self.hidden}

    @property
    def stacks(self) -> tuple[EncoderShape, ...]:
        """Of its lists of layers, in the order in which they run."""
        return self.encoder, self.decoder

    @property
    def sizes(self) -> dict[str, int]:
        decoder = self.decoder
        return {
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "hidden": self.hidden,
            "heads": self.heads,
            "ffn": self.ffn,
            "decoder_hidden": decoder.hidden,
            "decoder_heads": decoder.heads,
            "decoder_ffn": decoder.ffn,
            "shares_embeddings": self.shares_embeddings,
        }

    def __str__(self) -> str:
        return f"encoder {self.encoder}; decoder {self.decoder}"


Terms: TypeAlias = Annotated[int, Field(ge=16, le=5_000_000)]


class BiLstmShape(NetworkShape):
    """Dimensions of a bidirectional LSTM over subword tokens."""

    embedding: int = Field(ge=4, le=MAX_BILSTM_EMBEDDING, description="Embedding size.")
    hidden: int = Field(ge=4, le=2048, description="Hidden size of each direction.")
    projection: int = Field(
        ge=4,
        le=4096,
        description="Size of the projection below the head, trained to match the teacher's hidden states.",
    )

    @property
    def sizes(self) -> dict[str, int]:
        return {"embedding": self.embedding, "hidden": self.hidden, "projection": self.projection}

    def __str__(self) -> str:
        return f"BiLSTM, embedding {self.embedding}, 2 x {self.hidden}, projection {self.projection}"


class TfidfShape(NetworkShape):
    """Size of a linear classifier over TF-IDF."""

    terms: Terms = Field(description="Word pieces and pairs of them that are weighed, at most.")

    @property
    def sizes(self) -> dict[str, int]:
        return {"terms": self.terms}

    def __str__(self) -> str:
        return f"TF-IDF of {self.terms:,} terms"


class StaticShape(NetworkShape):
    """Dimensions of static embeddings: a vector for each token."""

    dimensions: int = Field(ge=2, le=4096, description="Dimensions of the vectors.")

    @property
    def sizes(self) -> dict[str, int]:
        return {"dimensions": self.dimensions}

    def __str__(self) -> str:
        return f"vectors of {self.dimensions} dimensions for each token"


def _kind(shape: Any) -> str:
    """Which shape is meant, so that a faulty one is told what is wrong with it and not with all of them."""
    names = shape if isinstance(shape, dict) else getattr(type(shape), "model_fields", ())
    if "projection" in names:
        return "bilstm"
    if "terms" in names:
        return "tfidf"
    if "dimensions" in names:
        return "static"
    return "encoder_decoder" if "encoder_layers" in names or "decoder_layers" in names else "encoder"


AnyShape: TypeAlias = Annotated[
    Annotated[EncoderShape, Tag("encoder")]
    | Annotated[EncoderDecoderShape, Tag("encoder_decoder")]
    | Annotated[BiLstmShape, Tag("bilstm")]
    | Annotated[TfidfShape, Tag("tfidf")]
    | Annotated[StaticShape, Tag("static")],
    Discriminator(_kind),
]
