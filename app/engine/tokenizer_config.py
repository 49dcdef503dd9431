"""``tokenizer_config.json`` for a ``tokenizer.json``: with it transformers reads the latter as it is here."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tokenizers import Tokenizer

TOKENIZER: Final = "tokenizer.json"
TARGET_TOKENIZER: Final = "target_tokenizer.json"
"""Of a translation model that writes other pieces than it reads."""
TOKENIZER_CONFIG: Final = "tokenizer_config.json"

SPECIAL_TOKENS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "bos_token": ("<s>",),
        "eos_token": ("</s>",),
        "unk_token": ("[UNK]", "<unk>"),
        "sep_token": ("[SEP]", "</s>"),
        "pad_token": ("[PAD]", "<pad>"),
        "cls_token": ("[CLS]", "<s>"),
        "mask_token": ("[MASK]", "<mask>"),
    }
)
"""By what transformers calls them, and as they are written where nothing else is said."""

_KEPT: Final = {"padding_side": "right", "clean_up_tokenization_spaces": False}
"""Of a given config, and what transformers takes where it says nothing."""


def tokenizer_config(
    tokenizer: Tokenizer, given: Mapping[str, Any], *, max_length: int, token_types: int
) -> dict[str, Any]:
    """A whole config, which transformers 4 and 5 read alike.

    Args:
        tokenizer: as ``tokenizer.json`` has it, with the side on which it cuts.
        given: an earlier config of the same tokenizer, for what its file does not say; may be empty.
        max_length: tokens at which texts are cut.
        token_types: that the network tells apart.
    """
    names: dict[str, Any] = {name: given[name] for name in SPECIAL_TOKENS if given.get(name)}
    if not names:
        names = {name: _first_known(tokenizer, written) for name, written in SPECIAL_TOKENS.items()}
    others = [token for token in given.get("additional_special_tokens", ()) if _is_known(tokenizer, token)]
    has_types = token_types > 1 and any(tokenizer.encode("a", "a").type_ids)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # the one that takes nothing from this file but names
        "model_max_length": max_length,
        "model_input_names": ["input_ids", *(["token_type_ids"] if has_types else []), "attention_mask"],
        "truncation_side": truncation_side(tokenizer),
        **{key: given.get(key, default) for key, default in _KEPT.items()},
        **{name: token for name, token in names.items() if token and _is_known(tokenizer, token)},
    }
    if others:
        config["additional_special_tokens"] = others
    if (prefixed := _prefixes_space(tokenizer)) is not None:
        config["add_prefix_space"] = prefixed  # transformers 4 sets it to this file's, by default to false
    return config


def truncation_side(tokenizer: Tokenizer) -> str:
    """Where a text that is too long loses its tokens: left or right."""
    return str((tokenizer.truncation or {}).get("direction", "right"))


def _first_known(tokenizer: Tokenizer, tokens: tuple[str, ...]) -> str | None:
    return next((token for token in tokens if _is_known(tokenizer, token)), None)


def _is_known(tokenizer: Tokenizer, token: str) -> bool:
    return tokenizer.token_to_id(token) is not None


def _prefixes_space(tokenizer: Tokenizer) -> bool | None:
    """What the pre-tokenizer says of itself, where it does."""
    if tokenizer.pre_tokenizer is None:
        return None
    state = json.loads(tokenizer.pre_tokenizer.__getstate__())
    prefixed = state.get("add_prefix_space")
    return prefixed if isinstance(prefixed, bool) else None
