"""What a folder says of its tokenizer beside the vocabulary: known settings of known types.

Nothing else of these files reaches transformers, whose classes take any key for an argument.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.domain.architectures.config import MIN_LENGTH
from app.domain.errors import InvalidRequest
from app.engine.tokenizer_config import TOKENIZER_CONFIG
from app.intake.models.json_files import read_object
from app.intake.models.tokenizer_bounds import unbounded_added_tokens
from app.intake.models.tokenizer_faults import invalid, unsupported

SPECIAL_TOKENS: Final = "special_tokens_map.json"
ADDED_TOKENS: Final = "added_tokens.json"
SETTINGS_FILES: Final = (TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS)

Settings = dict[str, dict[str, Any]]
"""Content by file; files that are not there are empty."""

_FLAGS = {
    *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "keep_accents", "split_by_punct"),
    *("add_prefix_space", "trim_offsets", "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces"),
    *("do_basic_tokenize", "split_special_tokens", "separate_vocabs"),
}
_SIDES = {"truncation_side", "padding_side"}
_LENGTHS = {"model_max_length", "max_len"}
_LISTS_OF_TOKENS = {"additional_special_tokens", "extra_special_tokens"}
_TOKEN_FLAGS = ("lstrip", "rstrip", "normalized", "single_word", "special")
_MAX_TOKENS = 1_000_000  # of a model; the bound on tokens is narrower
_SHOWN = 50


def read_settings(folder: Path, *, rows: int) -> Settings:
    """The settings of a folder.

    Args:
        folder: that may have ``SETTINGS_FILES``.
        rows: of the embedding matrix, which bound the number of tokens.

    Raises:
        InvalidRequest: a setting is not of its type, or is not supported.
    """
    raw = {name: read_object(folder, name, required=False) for name in SETTINGS_FILES}
    settings = {
        TOKENIZER_CONFIG: dict(_config(raw[TOKENIZER_CONFIG])),
        SPECIAL_TOKENS: dict(_special_tokens(raw[SPECIAL_TOKENS])),
        ADDED_TOKENS: _added_tokens(raw[ADDED_TOKENS]),
    }
    tokens = [{"content": content} for content in named_tokens(settings)]
    if (unbounded := unbounded_added_tokens(tokens, rows)) is not None:
        raise invalid(unbounded)
    _refuse_unsupported(settings[TOKENIZER_CONFIG])
    return settings


def write_settings(settings: Settings, folder: Path) -> None:
    """Write what is not empty, for transformers to read."""
    for name, content in settings.items():
        if content:
            (folder / name).write_text(json.dumps(content), "utf-8")


def longest_text(settings: Settings) -> int | None:
    """Tokens at which texts are cut, where the folder says it."""
    config = settings[TOKENIZER_CONFIG]
    length = next((config[key] for key in ("model_max_length", "max_len") if key in config), None)
    if length is not None and length < MIN_LENGTH:
        raise invalid(
            f"cuts texts at {length} tokens ({TOKENIZER_CONFIG}: model_max_length)",
            f"Set at least {MIN_LENGTH}.",
        )
    return None if length is None or length > _MAX_TOKENS else int(length)


def named_tokens(settings: Settings) -> Iterator[str]:
    """Every token that the settings name."""
    pending: list[Any] = [
        *(value for key, value in settings[TOKENIZER_CONFIG].items() if key not in _KINDS),
        *settings[SPECIAL_TOKENS].values(),
        *settings[ADDED_TOKENS],
    ]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict) and isinstance(value.get("content"), str):
            yield value["content"]
        elif isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value


def _config(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        if key.endswith("_token") and key not in _FLAGS:
            yield key, None if value is None else _token(value, f"{TOKENIZER_CONFIG}: {key}", is_marked=True)
        elif value is None:
            continue
        elif key in _LISTS_OF_TOKENS:
            yield key, _tokens(value, f"{TOKENIZER_CONFIG}: {key}")
        elif key == "added_tokens_decoder":
            yield key, _decoder(value)
        elif key in _KINDS:
            is_sound, kind = _KINDS[key]
            if not is_sound(value):
                raise _wrong(f"{TOKENIZER_CONFIG}: {key}", kind)
            yield key, value


def _special_tokens(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        place = f"{SPECIAL_TOKENS}: {key}"
        if value is not None and key in _LISTS_OF_TOKENS:
            yield key, _tokens(value, place)
        elif value is not None and key.endswith("_token"):
            yield key, _token(value, place, is_marked=False)


def _added_tokens(raw: Mapping[str, Any]) -> dict[str, int]:
    if not all(type(id_) is int and id_ >= 0 for id_ in raw.values()):
        raise _wrong(ADDED_TOKENS, "map tokens to their ids")
    return dict(raw)


def _decoder(value: Any) -> dict[str, Any]:
    place = f"{TOKENIZER_CONFIG}: added_tokens_decoder"
    if not isinstance(value, dict) or not all(id_.isascii() and id_.isdigit() for id_ in value):
        raise _wrong(place, "map ids to tokens")
    if any(not isinstance(token, dict) for token in value.values()):
        raise _wrong(place, "map ids to objects with a content")
    return {id_: _token(token, place, is_marked=False) for id_, token in value.items()}


def _tokens(value: Any, place: str) -> list[Any] | dict[str, Any]:
    if isinstance(value, dict):
        return {name: _token(token, place, is_marked=True) for name, token in value.items()}
    if isinstance(value, list):
        return [_token(token, place, is_marked=True) for token in value]
    raise _wrong(place, "be a list of tokens")


def _token(value: Any, place: str, *, is_marked: bool) -> str | dict[str, Any]:
    """A token as it is, or with what says how it is found in a text.

    Args:
        value: of a file.
        place: where it stands.
        is_marked: whether transformers knows an object for a token by its ``__type`` there.
    """
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict) or not isinstance(value.get("content"), str) or not value["content"]:
        raise _wrong(place, "be a token: text, or an object with a content")
    flags = {key: value[key] for key in _TOKEN_FLAGS if value.get(key) is not None}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise _wrong(place, f"have {', '.join(_TOKEN_FLAGS)} as true or false")
    marked = {"__type": "AddedToken"} if is_marked else {}
    return {"content": value["content"], **flags, **marked}


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    for key, (refused, meaning) in _UNSUPPORTED.items():
        if config.get(key) is refused:
            raise unsupported(
                f"{TOKENIZER_CONFIG} has {key}: {str(refused).lower()} ({meaning}), which is not supported.",
                "Remove the key if the model was trained without it; otherwise convert the tokenizer into a "
                "tokenizer.json with the tokenizers library.",
            )


def _wrong(place: str, kind: str) -> InvalidRequest:
    return invalid(f"has a wrong setting: {place[: _SHOWN * 2]} must {kind}", "Upload the original file.")


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


_KINDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    **dict.fromkeys(_FLAGS, (_is_flag, "be true or false")),
    **dict.fromkeys(_SIDES, (lambda value: value in ("left", "right"), "be left or right")),
    **dict.fromkeys(_LENGTHS, (_is_length, "be a positive number")),
    "unk_id": (lambda value: type(value) is int and value >= 0, "be an id"),
    "tokenizer_class": (lambda value: isinstance(value, str), "be a name"),
    "model_input_names": (
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
        "be a list of names",
    ),
}
"""By key: whether a value is one, and what it has to be, as the end of a sentence."""

_UNSUPPORTED: Final = {
    "do_basic_tokenize": (False, "texts are split at spaces alone"),
    "split_special_tokens": (True, "special tokens in texts are read as text"),
    "separate_vocabs": (True, "source and target have vocabularies of their own"),
}
"""By key: the value that is refused, and what it means."""
