"""How many numbers a network of a given shape holds, group by group. Arithmetic only, no framework."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from app.domain.tasks import Head

EncoderFamilyName = Literal["bert", "roberta", "xlm-roberta", "distilbert"]
FamilyName = Literal["bert", "roberta", "xlm-roberta", "distilbert", "marian", "bilstm"]
"""The families whose layout this service knows, by ``model_type`` of their config."""

BYTES_PER_PARAMETER = {"fp32": 4, "int8": 1}

MAX_ONNX_BYTES: Final = 2**31 - 2**20
"""Of the fp32 weights in one file: protobuf ends at 2 GiB; the graph beside them takes well below 1 MiB."""

MAX_BILSTM_EMBEDDING: Final = 1024

_Width = Annotated[int, Field(ge=8, le=4096)]
_Inner = Annotated[int, Field(ge=8, le=16384)]
_Heads = Annotated[int, Field(ge=1, le=64)]
_Depth = Annotated[int, Field(ge=1, le=48)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _require_whole_heads(name: str, width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"{name} ({width}) must be a multiple of its heads ({heads})")


class EncoderShape(_Frozen):
    """The dimensions of an encoder that compression changes."""

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
        description="Embedding size, projected to hidden by a matrix; default: hidden.",
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

    def __str__(self) -> str:
        rank = f", rank {self.rank}" if self.rank else ""
        embedding = f", embedding {self.embedding}" if self.embedding else ""
        return f"{self.layers} x {self.hidden}, {self.heads} heads, ffn {self.ffn}{rank}{embedding}"


class EncoderDecoderShape(_Frozen):
    """The dimensions of a translation model. The decoder may be shallower and narrower than the encoder."""

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
        return self.decoder.hidden == self.hidden

    def __str__(self) -> str:
        return f"encoder {self.encoder}; decoder {self.decoder}"


class BiLstmShape(_Frozen):
    """The dimensions of a bidirectional LSTM over word pieces."""

    embedding: int = Field(ge=4, le=MAX_BILSTM_EMBEDDING, description="Embedding size.")
    hidden: int = Field(ge=4, le=2048, description="Hidden size of each direction.")
    projection: int = Field(
        ge=4,
        le=4096,
        description="Size of the projection below the head, trained to match the teacher's hidden states.",
    )

    def __str__(self) -> str:
        return f"BiLSTM, embedding {self.embedding}, 2 x {self.hidden}, projection {self.projection}"


def _kind(shape: Any) -> str:
    """Which shape is meant, so that a faulty one is told what is wrong with it and not with all three."""
    names = shape if isinstance(shape, dict) else getattr(type(shape), "model_fields", ())
    if "projection" in names:
        return "bilstm"
    return "encoder_decoder" if "encoder_layers" in names or "decoder_layers" in names else "encoder"


AnyShape: TypeAlias = Annotated[
    Annotated[EncoderShape, Tag("encoder")]
    | Annotated[EncoderDecoderShape, Tag("encoder_decoder")]
    | Annotated[BiLstmShape, Tag("bilstm")],
    Discriminator(_kind),
]


class ParameterCount(BaseModel):
    """Where the parameters of a network lie."""

    embeddings: int
    encoder: int
    decoder: int = 0
    head: int

    @property
    def total(self) -> int:
        return self.embeddings + self.encoder + self.decoder + self.head

    @property
    def body(self) -> int:
        """What computes, as against what is looked up."""
        return self.encoder + self.decoder


class LayerUse(_Frozen):
    """One layer as it is run: which one's parameters, and whether query and key change places (Pea-KD)."""

    layer: int = Field(ge=0)
    swapped: bool = False


class EncoderArchitecture(BaseModel):
    """What the planner must know of an encoder: its family, its shape and the sizes of its tables."""

    model_config = ConfigDict(frozen=True)

    family: EncoderFamilyName
    shape: EncoderShape
    vocabulary: int
    positions: int
    token_types: int
    schedule: tuple[LayerUse, ...] | None = Field(
        default=None,
        description="Order in which layers run, with repeats; default: each once, in order.",
    )

    def count(self, shape: EncoderShape | None = None, *, head: Head) -> ParameterCount:
        """Parameters of this family at ``shape`` (default: its own) with a head.

        Equal to what the networks hold; ``tests/worker/modeling/test_networks.py`` compares the two.
        """
        s = shape or self.shape
        norm = 2 * s.hidden
        tables = (self.positions + self.token_types) * s.hidden + norm
        if s.embedding is None:
            words = self.vocabulary * s.hidden
        else:
            words = self.vocabulary * s.embedding + s.embedding * s.hidden
        attention = 4 * _linear(s.hidden, s.hidden, s.rank)
        feed_forward = _linear(s.hidden, s.ffn, s.rank) + _linear(s.ffn, s.hidden, s.rank)
        return ParameterCount(
            embeddings=words + tables,
            encoder=s.layers * (attention + feed_forward + 2 * norm),
            head=self._head(s, head),
        )

    @property
    def is_plain(self) -> bool:
        """Whether others than this service know such networks: no factors, and each layer run once."""
        return self.shape.rank is None and self.shape.embedding is None and self.schedule is None

    def at(self, shape: EncoderShape) -> "EncoderArchitecture":
        return self.model_copy(update={"shape": shape, "schedule": None})

    def _head(self, s: EncoderShape, head: Head) -> int:
        dense = _linear(s.hidden, s.hidden)
        match head.task:
            case "text_classification" | "text_regression":
                # BERT's pooler, RoBERTa's dense and DistilBERT's pre_classifier are all one d x d layer.
                return dense + _linear(s.hidden, head.outputs)
            case "token_classification":
                return _linear(s.hidden, head.outputs)
            case "masked_language_modeling":
                return dense + 2 * s.hidden + head.outputs  # the word table is the output's too
            case "translation":
                raise ValueError("an encoder-only model cannot translate")


class EncoderDecoderArchitecture(BaseModel):
    """What the planner must know of a translation model of the Marian family."""

    model_config = ConfigDict(frozen=True)

    family: Literal["marian"] = "marian"
    shape: EncoderDecoderShape
    vocabulary: int
    positions: int

    def count(
        self,
        shape: EncoderDecoderShape | None = None,
        *,
        head: Head,  # noqa: ARG002 - its words are the table's
    ) -> ParameterCount:
        """Parameters at ``shape`` (default: its own); positions are sines, the output's bias is fixed."""
        s = shape or self.shape
        encoder, decoder = s.encoder, s.decoder
        attention_e = 4 * _linear(encoder.hidden, encoder.hidden)
        attention_d = 4 * _linear(decoder.hidden, decoder.hidden)
        cross = 2 * _linear(decoder.hidden, decoder.hidden) + 2 * _linear(encoder.hidden, decoder.hidden)
        ffn_e = _linear(encoder.hidden, encoder.ffn) + _linear(encoder.ffn, encoder.hidden)
        ffn_d = _linear(decoder.hidden, decoder.ffn) + _linear(decoder.ffn, decoder.hidden)
        tables = encoder.hidden if s.shares_embeddings else encoder.hidden + decoder.hidden
        return ParameterCount(
            embeddings=self.vocabulary * tables,
            encoder=encoder.layers * (attention_e + ffn_e + 4 * encoder.hidden),
            decoder=decoder.layers * (attention_d + cross + ffn_d + 6 * decoder.hidden),
            head=0,
        )

    @property
    def sines(self) -> int:
        """Numbers of the positions: no parameters, but they lie beside the weights."""
        return self.positions * (self.shape.encoder.hidden + self.shape.decoder.hidden)

    def at(self, shape: EncoderDecoderShape) -> "EncoderDecoderArchitecture":
        return self.model_copy(update={"shape": shape})


class BiLstmArchitecture(BaseModel):
    """What the planner must know of a BiLSTM: its shape and its vocabulary."""

    model_config = ConfigDict(frozen=True)

    family: Literal["bilstm"] = "bilstm"
    shape: BiLstmShape
    vocabulary: int
    positions: int

    def count(self, shape: BiLstmShape | None = None, *, head: Head) -> ParameterCount:
        """Parameters at ``shape`` (default: its own) with a head."""
        s = shape or self.shape
        direction = 4 * s.hidden * (s.embedding + s.hidden + 2)
        return ParameterCount(
            embeddings=self.vocabulary * s.embedding,
            encoder=2 * direction + _linear(2 * s.hidden, s.projection),
            head=_linear(s.projection, head.outputs),
        )

    def at(self, shape: BiLstmShape) -> "BiLstmArchitecture":
        return self.model_copy(update={"shape": shape})


Architecture: TypeAlias = Annotated[
    EncoderArchitecture | EncoderDecoderArchitecture | BiLstmArchitecture, Field(discriminator="family")
]


def _linear(inputs: int, outputs: int, rank: int | None = None) -> int:
    """A matrix, or a product of two, and its bias."""
    return (inputs * outputs if rank is None else rank * (inputs + outputs)) + outputs
