"""What of a ``tokenizer.json`` could run away with a text: looked at as JSON, before anything is built of it.

A normaliser that grows texts or a backtracking expression takes the process that serves all models with it.
"""

import base64
import binascii
import math
from collections.abc import Iterator
from typing import Any

_EXPRESSIONS = {" {2,}", r"\A | \z", r"\s{2,}|[\n\r\t]"}
"""The regular expressions that tokenizers of the known families have; none of them backtracks."""

_MAX_GROWTH = 64
"""How many characters one may become, all replacements together."""

_MAX_CHARSMAP_ENTRY = 256
_MAX_WORD = 256
_MAX_AFFIX = 16
_MAX_TOKEN = 512
_MAX_STEPS = 32
"""On one side: of what is done to a text, and of what is done to tokens. Real tokenizers have under ten."""

_MAX_NODES = 10_000
"""Objects that describe the steps of one side."""

_MAX_ADDED_TOKENS = 10_000
_MAX_ADDED_BYTES = 512 * 2**10
"""Of all added tokens together: the automaton that finds them takes 73 times as much memory."""

_MAX_MERGES_PER_ROW = 8
_MAX_TEMPLATE = 16


def unbounded_part(tokenizer: dict[str, Any], *, vocabulary: int) -> str | None:
    """What cannot be taken, as the end of a sentence; None where all is bounded."""
    sides = ([tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")], [tokenizer.get("decoder")])
    for side in sides:
        if (unbounded := _unbounded_steps(list(_parts(side)))) is not None:
            return unbounded
    return (
        _unbounded_post_processor(list(_parts(tokenizer.get("post_processor"))))
        or _unbounded_model(tokenizer.get("model") or {}, vocabulary)
        or unbounded_added_tokens(tokenizer.get("added_tokens") or [], vocabulary)
    )


def patterns(tokenizer: dict[str, Any]) -> list[str]:
    """Strings that the steps of a tokenizer look for: texts full of them are what costs it most."""
    parts = _parts([tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")])
    return [text for part in parts if isinstance(text := part.get("String"), str)]


def costly_tokens(tokenizer: dict[str, Any]) -> list[str]:
    """The longest token and the longest added one; and the former all but its end, which is nearly found."""
    longest = max(vocabulary_of(tokenizer.get("model") or {}), key=len, default="")
    added = max((token["content"] for token in tokenizer.get("added_tokens") or ()), key=len, default="")
    return [longest, longest[:-1], added]


def _unbounded_model(model: dict[str, Any], vocabulary: int) -> str | None:
    if _exceeds(model.get("max_input_chars_per_word"), _MAX_WORD):
        return f"allows words longer than {_MAX_WORD} characters (max_input_chars_per_word)"
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if len(str(model.get(affix) or "")) > _MAX_AFFIX:
            return f"has a {affix} longer than {_MAX_AFFIX} characters"
    vocab = model.get("vocab")
    if isinstance(vocab, dict | list) and len(vocab) > vocabulary:
        return f"has {len(vocab):,} tokens, more than the {vocabulary:,} rows of the embedding matrix"
    if isinstance(vocab, dict) and len(set(vocab.values())) < len(vocab):
        return "has two tokens with the same id"
    if any(len(token) > _MAX_TOKEN for token in vocabulary_of(model)):
        return f"has a token longer than {_MAX_TOKEN} characters"
    if len(model.get("merges") or ()) > _MAX_MERGES_PER_ROW * vocabulary:
        return f"has more than {_MAX_MERGES_PER_ROW} merges per row of the embedding matrix"
    return None


def unbounded_added_tokens(added: list[dict[str, Any]], vocabulary: int) -> str | None:
    """What of added tokens cannot be taken, as the end of a sentence: their number or their length."""
    if len(added) > vocabulary:
        return f"adds more tokens than the {vocabulary:,} rows of the embedding matrix"
    if len(added) > _MAX_ADDED_TOKENS:
        return f"adds {len(added):,} tokens; at most {_MAX_ADDED_TOKENS:,} are supported (added_tokens)"
    contents = [token["content"] for token in added if isinstance(token["content"], str)]
    if any(len(content) > _MAX_TOKEN for content in contents):
        return f"adds a token longer than {_MAX_TOKEN} characters (added_tokens)"
    if sum(len(content.encode(errors="surrogatepass")) for content in contents) > _MAX_ADDED_BYTES:
        return f"adds tokens of more than {_MAX_ADDED_BYTES:,} bytes together (added_tokens)"
    return None


def _unbounded_post_processor(parts: list[dict[str, Any]]) -> str | None:
    if (unbounded := _too_many(parts)) is not None:
        return unbounded
    for part in parts:
        for key, texts in (("single", {"A"}), ("pair", {"A", "B"})):
            pieces = part.get(key)
            if not isinstance(pieces, list):
                continue
            if len(pieces) > _MAX_TEMPLATE:
                return f"has a post_processor template of more than {_MAX_TEMPLATE} pieces"
            found = [piece["Sequence"]["id"] for piece in pieces if "Sequence" in piece]
            if sorted(found) != sorted(texts):
                return f"has a post_processor template {key!r} that does not contain each text exactly once"
    return None


def _too_many(parts: list[dict[str, Any]]) -> str | None:
    steps = sum("type" in part for part in parts)
    if steps > _MAX_STEPS or len(parts) > _MAX_NODES:
        return f"has more than {_MAX_STEPS} steps (normalizer, pre_tokenizer, post_processor or decoder)"
    return None


def _unbounded_steps(parts: list[dict[str, Any]]) -> str | None:
    """What of all that is done to a text, or to what is written, one step after another."""
    if (unbounded := _too_many(parts)) is not None:
        return unbounded
    for part in parts:
        expression = part.get("Regex")
        if expression is not None and expression not in _EXPRESSIONS:
            return f"uses the regular expression {str(expression)[:100]!r}, which is not supported"
        if part.get("String") == "":
            return "replaces empty text"
        if not _is_sound_charsmap(part.get("precompiled_charsmap")):
            return "has a precompiled_charsmap that is damaged or expands texts without bound"
    grown = (part.get(key) for part in parts for key in ("content", "prepend"))
    if math.prod(max(1, len(text)) for text in grown if isinstance(text, str)) > _MAX_GROWTH:
        return f"has replacements that can expand texts {_MAX_GROWTH} times"
    return None


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a value, at most one more than may be. Not recursive: the depth is untrusted."""
    pending, left = [value], _MAX_NODES + 1
    while pending and left:
        inner = pending.pop()
        if isinstance(inner, dict):
            left -= 1
            yield inner
            pending += inner.values()
        elif isinstance(inner, list):
            pending += inner


def _is_sound_charsmap(encoded: Any) -> bool:
    """SentencePiece's: the length of a trie, the trie, and replacements that end in a zero byte each."""
    if encoded is None:
        return True
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
    trie_bytes = int.from_bytes(blob[:4], "little")
    replacements = blob[4 + trie_bytes :]
    if trie_bytes % 4 or not replacements:
        return False
    longest = max(map(len, replacements.split(b"\0")))
    return longest <= _MAX_CHARSMAP_ENTRY and _stays_within(blob[4 : 4 + trie_bytes], replacements)


def _stays_within(content: bytes, replacements: bytes) -> bool:
    """Whether no text leads out of a trie of the Darts kind: the library would panic, texts later."""
    # Imported late: few tokenizers have such a trie, and each is checked in a new process.
    import numpy as np

    trie = np.frombuffer(content, "<u4")
    nodes = np.flatnonzero(trie >> 31 == 0)  # the others hold places in the replacements
    units = trie[nodes]
    children = nodes ^ ((units >> 10) << ((units >> 6) & 8))
    if len(nodes) == 0 or (children | 0xFF).max() >= len(trie):  # a child's place is that, by the next byte
        return False
    starts = trie[children[(units >> 8) & 1 == 1]] & 0x7FFFFFFF
    if len(starts) == 0 or starts.max() >= len(replacements):
        return False
    first_bytes = np.frombuffer(replacements, np.uint8)[starts]
    return not bool((first_bytes & 0xC0 == 0x80).any())  # within a character


def _exceeds(value: Any, limit: int) -> bool:
    return isinstance(value, int) and value > limit


def vocabulary_of(model: dict[str, Any]) -> Iterator[str]:
    """A model's tokens: of a mapping to ids, or of a list of pairs with scores."""
    for entry in model.get("vocab") or ():
        token = entry[0] if isinstance(entry, list) and entry else entry
        if isinstance(token, str):
            yield token
