"""Reading ``config.json`` by hand: known keys of known types within bounds, and nothing that names code."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.domain.architectures import FAMILIES, Architecture, architecture_of
from app.domain.architectures.config import MIN_LENGTH
from app.domain.errors import InvalidRequest
from app.intake.models.static_tables import MODEL_TYPE, static_table

_CODE_KEYS = {"auto_map", "trust_remote_code", "custom_pipelines"}
_ATTENTIONS = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}
"""Of transformers itself; any other name is of code on the hub."""

MAX_LABELS = 1000
_MAX_LABEL_CHARACTERS = 200


@dataclass(frozen=True)
class ModelConfig:
    """What a config says."""

    architecture: Architecture
    max_length: int
    id2label: Any
    """What it says of its labels, which only some heads have: see ``labels_of``."""
    problem_type: str | None
    """problem_type of the config, if set."""
    network: str
    """Class that saved the model, such as BertForTokenClassification; empty if unknown."""
    kept: dict[str, Any]
    """The config's known keys."""
    tokenizer_class: str | None = None
    """Class of its tokenizer, if named here."""
    activation: str | None = None
    """What sentence-transformers puts the outputs through: the name of a class of torch, if named here."""


def read_config(raw: dict[str, Any]) -> ModelConfig:
    """Check a parsed ``config.json``.

    Raises:
        InvalidRequest: it asks for code, is of an unknown family, or has a value out of bounds.
    """
    refuse_code(raw, "config.json")
    model_type = raw.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if model_type == MODEL_TYPE:
        raise static_table("config.json")
    if family is None:
        raise InvalidRequest(
            "unknown_architecture",
            f"config.json has model_type {str(model_type)[:50]!r}; supported are {', '.join(FAMILIES)}. "
            "Upload a model of one of these families, or send what another one says of the data as a column "
            "teacher_scores.",
            known=list(FAMILIES),
        )
    given = {key: value for key, value in raw.items() if value is not None}
    try:
        config = family.config.model_validate(given)
        architecture = architecture_of(config)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "literal_error":  # the config may well be right
            expected = fault["ctx"]["expected"]
            raise invalid_config(
                f"{place} is {str(fault['input'])[:50]!r}; supported is {expected}",
                "A model with another value cannot be used.",
            ) from None
        raise invalid_config(f"{place}: {what}" if place else what) from None
    except ValueError as error:
        raise invalid_config(str(error)) from None
    max_length = family.longest_text(config)
    if max_length < MIN_LENGTH:
        raise invalid_config(f"pad_token_id ({config.pad_token_id}) leaves fewer than {MIN_LENGTH} positions")
    return ModelConfig(
        architecture=architecture,
        max_length=max_length,
        id2label=given.get("id2label"),
        problem_type=str(given["problem_type"]) if "problem_type" in given else None,
        network=_network(given.get("architectures")),
        kept=config.model_dump(mode="json", exclude_none=True),
        tokenizer_class=_name(given.get("tokenizer_class")),
        activation=_activation(given),
    )


def invalid_config(
    what: str, advice: str = "Upload the config that was saved with the weights."
) -> InvalidRequest:
    return InvalidRequest("invalid_config", f"config.json: {what}. {advice}")


def _invalid_labels(what: str) -> InvalidRequest:
    advice = "Name every output in id2label, or send 'labels' with the upload."
    return invalid_config(what, advice)


def refuse_code(value: Any, file: str) -> None:
    """Raise where a config, at any depth, names code to load or weights that only other code can read."""
    for key, inner in _items(value):
        is_kernel = key.startswith("_attn_implementation") and isinstance(inner, str)
        if key in _CODE_KEYS or (is_kernel and inner not in _ATTENTIONS):
            raise InvalidRequest(
                "remote_code",
                f"{file} requires custom code ({key[:100]!r}), which is not supported. Remove the key if "
                f"the model is a plain {' or '.join(FAMILIES)}.",
                key=key[:100],
            )
        if key == "quantization_config":
            raise InvalidRequest(
                "quantized_weights",
                f"{file} describes quantised weights, which are not supported. Upload the model in fp32, "
                "fp16 or bf16.",
            )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys in a value. Not recursive: it would cost each key as much as it lies deep."""
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            yield from inner.items()
            pending += inner.values()
        elif isinstance(inner, list):
            pending += inner


def _network(architectures: Any) -> str:
    match architectures:
        case [str() as name, *_]:
            return name
        case _:
            return ""


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _activation(config: dict[str, Any]) -> str | None:
    """As CrossEncoder writes it, today and before version 4."""
    today = config.get("sentence_transformers")
    named = today.get("activation_fn") if isinstance(today, dict) else None
    return _name(named) or _name(config.get("sbert_ce_default_activation_function"))


def labels_of(config: ModelConfig) -> list[str] | None:
    """Labels in order of their index; None if the config has none.

    Raises:
        InvalidRequest: they are not numbered without gaps, or are no texts that differ.
    """
    id2label = config.id2label
    if id2label is None:
        return None
    if not isinstance(id2label, dict) or len(id2label) > MAX_LABELS:
        raise _invalid_labels(f"id2label must map at most {MAX_LABELS:,} indices to names")
    if set(id2label) != {str(index) for index in range(len(id2label))}:
        raise _invalid_labels("id2label must number its labels from 0 without gaps")
    labels = [id2label[str(index)] for index in range(len(id2label))]
    labels = [str(label) if type(label) is int else label for label in labels]
    if not all(isinstance(label, str) and label.strip() and label.isprintable() for label in labels):
        raise _invalid_labels("labels in id2label must be printable text")
    labels = [label.strip() for label in labels]  # as those of data sets are, with which they are compared
    if max(map(len, labels), default=0) > _MAX_LABEL_CHARACTERS:
        raise _invalid_labels(f"labels in id2label must have at most {_MAX_LABEL_CHARACTERS} characters")
    if len(set(labels)) != len(labels):
        raise _invalid_labels("id2label has duplicate labels")
    return labels
