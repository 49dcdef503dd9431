"""The record of an architecture family: its config, the names of its modules, its heads and its classes.

Derived from it are the parameter count, the tensors expected in an upload, the config that is written and the
modules that methods work on. Names are whole module names; a module's tensors are called after it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from app.domain.architectures.config import EncoderConfig, FamilyConfig
from app.domain.architectures.heads import CLASS_SUFFIXES, VECTOR_HEAD, HeadModules
from app.domain.architectures.layers import Embeddings, LayerStack, Sizes
from app.domain.architectures.tensors import Shapes, bidirectional_lstm, linear, table
from app.domain.tasks import Task
from app.domain.tasks.record import HeadKind

PositionKind = Literal["absolute", "sinusoidal", "rotary", "recurrent", "adjacent", "none"]
"""How a network knows the order of tokens; what is relative is the stack's."""

EncoderTrait = Literal[
    "projected_embeddings",
    "relative_bias",
    "relative_embeddings",
    "rotary_positions",
    "shared_layers",
    "unlike_layers",
]
"""What an encoder may have beside layers of their own on tables as wide as these; methods say what they
support."""

_LEGACY_TENSORS: Final = {"gamma": "weight", "beta": "bias"}
"""Of norms, as BERT's first checkpoints name them."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    name: str
    """``model_type`` of its configs."""
    title: str
    """As it is spoken of."""
    config: type[FamilyConfig]
    """What is kept of a config."""
    dimensions: Mapping[str, str]
    """Key of the config -> the dimension that it means."""
    details: tuple[str, ...] = ()
    """Other sizes of its networks; a config has those that no key says as properties of these names."""
    computed: Mapping[str, Callable[[Sizes], Any]] = field(default_factory=dict)
    """Other keys of the config that follow from sizes."""
    positions: PositionKind
    positions_behind_padding: bool = False
    """Whether the first position is the one after the id of padding."""
    task: Task | None = None
    """What its networks are for by themselves; None: the head on one decides."""
    tokenizer_class: str = "PreTrainedTokenizerFast"
    """Name of transformers' class that reads its tokenizer, where a folder names none."""
    legacy_tensors: Mapping[str, str] = field(default_factory=lambda: _LEGACY_TENSORS)
    """Last parts of tensor names in old files -> those of today."""

    def config_values(self, sizes: Sizes) -> dict[str, Any]:
        """What the config of a network of these sizes says of them."""
        values = {key: sizes[dimension] for key, dimension in self.dimensions.items()}
        return values | {key: compute(sizes) for key, compute in self.computed.items()}

    def read_sizes(self, config: FamilyConfig) -> dict[str, int]:
        """The sizes that a config says."""
        values = {key: getattr(config, key) for key in self.dimensions}
        sizes = {self.dimensions[key]: value for key, value in values.items() if value is not None}
        derived = (name for name in self.details if name not in sizes)
        return sizes | {name: int(getattr(config, name)) for name in derived}

    def longest_text(self, config: FamilyConfig) -> int:
        """Tokens that a network of this config takes at most."""
        first = config.pad_token_id + 1 if self.positions_behind_padding else 0
        return config.max_position_embeddings - first


@dataclass(frozen=True, kw_only=True)
class EncoderFamily(_Record):
    """Encoders, with or without a head."""

    class_prefix: str
    """How the names of transformers' classes begin."""
    config: type[EncoderConfig]
    encoder: str
    """The network below any head."""
    embeddings: Embeddings
    stack: LayerStack
    heads: Mapping[HeadKind, HeadModules]
    pooler: str | None = None
    """The dense layer that may be stored with an encoder without a head."""
    positions: PositionKind = "absolute"

    def __post_init__(self) -> None:
        """Every family's states can be pooled."""
        object.__setattr__(self, "heads", {**self.heads, "vector": VECTOR_HEAD})

    def class_name(self, head: HeadKind | None) -> str:
        """Of transformers' class for networks with such a head, or without one."""
        return self.class_prefix + CLASS_SUFFIXES[head]

    def traits(self, sizes: Sizes) -> frozenset[EncoderTrait]:
        """Of a network of these sizes."""
        has: dict[EncoderTrait, bool] = {
            "projected_embeddings": self.embeddings.projects(sizes),
            "relative_bias": self.stack.relative_bias is not None,
            "relative_embeddings": bool(sizes.get("distances")),
            "rotary_positions": self.positions == "rotary",
            "shared_layers": self.stack.shares_layers,
            "unlike_layers": self.stack.first_reads_embeddings,
        }
        return frozenset(trait for trait, there in has.items() if there)

    def is_pooler(self, tensor: str) -> bool:
        return self.pooler is not None and tensor.startswith(f"{self.pooler}.")

    def head_tensors(self, kind: HeadKind, sizes: Sizes, *, outputs: int) -> Shapes:
        head = self.heads[kind]
        features = sizes["hidden"]
        if head.is_tied and self.embeddings.projection is not None:
            features = sizes["embedding"]  # the output is the narrow table itself
        return head.tensors(states=sizes["hidden"], features=features, outputs=outputs)


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderFamily(_Record):
    """Translation models, whose words lie in one table, or in one of each side where widths differ."""

    class_name: str
    """Of transformers' class for networks with one table."""
    encoder: LayerStack
    decoder: LayerStack
    shared_words: str
    encoder_words: str
    decoder_words: str
    output: str
    """Its matrix is the word table's."""
    output_bias: str
    """A tensor (1, vocabulary) that is not learnt."""
    sines: Mapping[str, str]
    """The positions of each side: tables that may be stored, and are not learnt."""

    def word_tensors(self, sizes: Sizes) -> Shapes:
        rows = sizes["vocabulary"]
        if sizes["shares_embeddings"]:
            return table(self.shared_words, rows, sizes["hidden"])
        return table(self.encoder_words, rows, sizes["hidden"]) | table(
            self.decoder_words, rows, sizes["decoder_hidden"]
        )

    def copies(self, sizes: Sizes) -> dict[str, str]:
        """Tensors that may be stored a second time, and which they repeat."""
        tied = {self.output: self.decoder_words}
        if sizes["shares_embeddings"]:
            tied = dict.fromkeys((self.encoder_words, self.decoder_words, self.output), self.shared_words)
        return {f"{copy}.weight": f"{original}.weight" for copy, original in tied.items()}


@dataclass(frozen=True, kw_only=True)
class _StudentRecord(_Record):
    """Networks that are this service's own: their classes are the worker's."""

    class_prefix: str
    head: HeadModules
    head_kinds: tuple[HeadKind, ...]
    """What its one head may answer for."""

    def class_name(self, head: HeadKind | None) -> str:
        return self.class_prefix + CLASS_SUFFIXES[head]


@dataclass(frozen=True, kw_only=True)
class BiLstmFamily(_StudentRecord):
    """Bidirectional LSTMs."""

    words: str
    lstm: str
    projection: str
    """The layer below the head."""
    positions: PositionKind = "recurrent"

    def word_tensors(self, sizes: Sizes) -> Shapes:
        return table(self.words, sizes["vocabulary"], sizes["embedding"])

    def encoder_tensors(self, sizes: Sizes) -> Shapes:
        return bidirectional_lstm(self.lstm, sizes["hidden"], sizes["embedding"]) | linear(
            self.projection, sizes["projection"], 2 * sizes["hidden"]
        )

    def head_tensors(self, sizes: Sizes, *, outputs: int) -> Shapes:
        width = sizes["projection"]
        return self.head.tensors(states=width, features=width, outputs=outputs)


@dataclass(frozen=True, kw_only=True)
class TfidfFamily(_StudentRecord):
    """Linear classifiers over TF-IDF."""

    keys: str
    """The tensor that says which terms there are, which is not learnt."""
    idf: str
    """The tensor of the terms' inverse document frequencies."""
    positions: PositionKind = "adjacent"

    def head_tensors(self, sizes: Sizes, *, outputs: int) -> Shapes:
        return self.head.tensors(states=sizes["terms"], features=sizes["terms"], outputs=outputs)


@dataclass(frozen=True, kw_only=True)
class StaticFamily(_Record):
    """Tables of vectors, whose mean over a text is its vector: no layers."""

    words: str
    positions: PositionKind = "none"

    def class_name(self, head: HeadKind | None) -> str:  # noqa: ARG002 - there is but one class
        return "StaticEmbedding"

    def word_tensors(self, sizes: Sizes) -> Shapes:
        return table(self.words, sizes["vocabulary"], sizes["dimensions"])


Family: TypeAlias = EncoderFamily | EncoderDecoderFamily | BiLstmFamily | TfidfFamily | StaticFamily
