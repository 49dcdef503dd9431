"""Reading ``config.json`` by hand: known keys of known types within bounds, and nothing that names code."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.core.errors import InvalidRequest
from app.core.shapes import Architecture, EncoderCard, Shape

_CODE_KEYS = {"auto_map", "trust_remote_code", "custom_pipelines"}
_ARCHITECTURES = get_args(Architecture)
_MAX_LABELS = 1000
_MAX_LABEL_CHARACTERS = 200
_MIN_LENGTH = 8
SINGLE_LABEL = "single_label_classification"

_Ratio = Annotated[float, Field(ge=0, lt=1)]
_Size = Annotated[int, Field(ge=1, le=1_000_000)]
_Activation = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"]


class _ConfigFile(BaseModel):
    """The keys that are kept. Those that are only checked are excluded."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    vocab_size: _Size
    max_position_embeddings: int = Field(ge=_MIN_LENGTH, le=8192)
    pad_token_id: int = Field(default=0, ge=0)
    initializer_range: float = Field(default=0.02, gt=0, le=1)


class _BertConfig(_ConfigFile):
    model_type: Literal["bert", "roberta", "xlm-roberta"]
    num_hidden_layers: _Size
    hidden_size: _Size
    num_attention_heads: _Size
    intermediate_size: _Size
    type_vocab_size: int = Field(default=2, ge=1, le=64)
    hidden_act: _Activation = "gelu"
    hidden_dropout_prob: _Ratio = 0.1
    attention_probs_dropout_prob: _Ratio = 0.1
    classifier_dropout: _Ratio | None = None
    layer_norm_eps: float = Field(default=1e-12, gt=0, le=1e-2)
    position_embedding_type: Literal["absolute"] = Field(default="absolute", exclude=True)
    is_decoder: Literal[False] = Field(default=False, exclude=True)
    add_cross_attention: Literal[False] = Field(default=False, exclude=True)

    def card(self) -> EncoderCard:
        return EncoderCard(
            architecture=self.model_type,
            shape=Shape(
                layers=self.num_hidden_layers,
                hidden=self.hidden_size,
                heads=self.num_attention_heads,
                ffn=self.intermediate_size,
            ),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            token_types=self.type_vocab_size,
        )


class _DistilBertConfig(_ConfigFile):
    model_type: Literal["distilbert"]
    n_layers: _Size
    dim: _Size
    n_heads: _Size
    hidden_dim: _Size
    activation: _Activation = "gelu"
    dropout: _Ratio = 0.1
    attention_dropout: _Ratio = 0.1
    seq_classif_dropout: _Ratio = 0.2

    def card(self) -> EncoderCard:
        return EncoderCard(
            architecture=self.model_type,
            shape=Shape(layers=self.n_layers, hidden=self.dim, heads=self.n_heads, ffn=self.hidden_dim),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            token_types=0,
        )


@dataclass(frozen=True)
class EncoderConfig:
    """What a config says."""

    card: EncoderCard
    max_length: int
    labels: list[str] | None
    """In order of their index; None where the config names none."""
    problem_type: str
    """What the head is for, where the config says it."""
    kept: dict[str, Any]
    """The config without what this service does not know."""


def read_config(raw: dict[str, Any]) -> EncoderConfig:
    """Check a parsed ``config.json``.

    Raises:
        InvalidRequest: it asks for code, is of an unknown family, or has a value out of bounds.
    """
    refuse_code(raw, "config.json")
    model_type = raw.get("model_type")
    if model_type not in _ARCHITECTURES:
        raise InvalidRequest(
            "unknown_architecture",
            f"config.json has model_type {str(model_type)[:50]!r}; this service knows "
            f"{', '.join(_ARCHITECTURES)}. Upload an encoder of one of these families.",
            known=list(_ARCHITECTURES),
        )
    given = {key: value for key, value in raw.items() if value is not None}
    if model_type in {"roberta", "xlm-roberta"}:
        given.setdefault("pad_token_id", 1)
    family = _DistilBertConfig if model_type == "distilbert" else _BertConfig
    try:
        config = family.model_validate(given)
        card = config.card()
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the shape"
        raise _invalid(f"{place}: {fault['msg']}") from None
    if config.pad_token_id >= config.vocab_size:
        raise _invalid(f"pad_token_id ({config.pad_token_id}) is not below vocab_size ({config.vocab_size})")
    # RoBERTa numbers positions from the one after the padding id.
    reserved = config.pad_token_id + 1 if model_type in {"roberta", "xlm-roberta"} else 0
    if card.positions - reserved < _MIN_LENGTH:
        raise _invalid(f"pad_token_id ({config.pad_token_id}) leaves fewer than {_MIN_LENGTH} positions")
    return EncoderConfig(
        card=card,
        max_length=card.positions - reserved,
        labels=_labels(given.get("id2label")),
        problem_type=str(given.get("problem_type", SINGLE_LABEL)),
        kept=config.model_dump(exclude_none=True),
    )


def refuse_code(value: Any, file: str) -> None:
    """Raise where a config, at any depth, names code to load or weights that only other code can read."""
    for key, inner in _items(value):
        if key in _CODE_KEYS or (key.startswith("_attn_implementation") and isinstance(inner, str)):
            raise InvalidRequest(
                "remote_code",
                f"{file} asks for code through {key!r}, which this service never loads. Remove the key if "
                f"the model is a plain {', '.join(_ARCHITECTURES[:-1])} or {_ARCHITECTURES[-1]}.",
                key=key,
            )
        if key == "quantization_config":
            raise InvalidRequest(
                "quantized_weights",
                f"{file} describes quantised weights. Upload the model in fp32, fp16 or bf16.",
            )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _labels(id2label: Any) -> list[str] | None:
    if id2label is None:
        return None
    if not isinstance(id2label, dict) or len(id2label) > _MAX_LABELS:
        raise _invalid(f"id2label must map at most {_MAX_LABELS:,} indices to names")
    if set(id2label) != {str(index) for index in range(len(id2label))}:
        raise _invalid("id2label must number its labels from 0 without gaps")
    labels = [id2label[str(index)] for index in range(len(id2label))]
    if not all(isinstance(label, str) and label.strip() and label.isprintable() for label in labels):
        raise _invalid("id2label must name its labels with printable text")
    if max(map(len, labels), default=0) > _MAX_LABEL_CHARACTERS:
        raise _invalid(f"id2label must name its labels in at most {_MAX_LABEL_CHARACTERS} characters")
    if len(set(labels)) != len(labels):
        raise _invalid("id2label gives two labels the same name")
    return labels


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_config", f"config.json: {what}. Upload the config that belongs to the weights."
    )
