"""A Marian folder's two SentencePiece models and one vocabulary as two ``tokenizer.json``.

transformers reads them in Python alone, a word at a time, and has no conversion.
"""

import base64
import json
from pathlib import Path
from typing import Any

from app.domain.errors import InvalidRequest
from app.engine.tokenizer_config import TARGET_TOKENIZER, TOKENIZER
from app.intake.models.json_files import require_short
from app.intake.models.sentencepiece import SentencePieceModel, UnreadableModelError, parse_sentencepiece
from app.intake.models.tokenizer_faults import does_not_fit, invalid

UNKNOWN, END, PADDING = "<unk>", "</s>", "<pad>"

_MAX_BYTES = 8 * 2**20  # every field of a model is taken apart by hand

_SPACE = "\u2581"  # as SentencePiece writes it

_FOREIGN = "\ufdd0"
"""Begins the pieces of the other language. No text can hold it, for the normaliser takes it out."""

_UNKNOWN_PENALTY = 10.0
"""By which SentencePiece puts an unknown letter below the least of the pieces."""


def read_marian(folder: Path, *, rows: int) -> dict[str, dict[str, Any]]:
    """What ``tokenizer.json`` says, and ``target_tokenizer.json`` where it differs, by file.

    Args:
        folder: has ``source.spm``, ``target.spm`` and ``vocab.json``.
        rows: of the embedding matrix.

    Raises:
        InvalidRequest: a file cannot be read, or they do not belong together.
    """
    vocabulary = _read_vocabulary(folder / "vocab.json", rows)
    source, target = (
        build_tokenizer(_read_model(folder / name, vocabulary), vocabulary)
        for name in ("source.spm", "target.spm")
    )
    made = {TOKENIZER: source}
    if target != source:
        made[TARGET_TOKENIZER] = target
    return made


def build_tokenizer(model: SentencePieceModel, vocabulary: dict[str, int]) -> dict[str, Any]:
    """What ``tokenizer.json`` says for one of the two languages.

    A piece that has no id is not used, and the text is cut into others.

    Args:
        model: of that language.
        vocabulary: the ids of both languages' pieces, from 0 without gaps.
    """
    special = [token for token in vocabulary if token in {UNKNOWN, END, PADDING} or _is_language(token)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in special
        ],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model)},
        "pre_tokenizer": None,
        "post_processor": _ending(vocabulary[END]),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                _replace(_FOREIGN, ""),
                {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "always", "split": False},
            ],
        },
        "model": {
            "type": "Unigram",
            "unk_id": vocabulary[UNKNOWN],
            "byte_fallback": False,
            "vocab": _pieces(model, vocabulary, special=set(special)),
        },
    }


def _pieces(
    model: SentencePieceModel, vocabulary: dict[str, int], *, special: set[str]
) -> list[tuple[str, float]]:
    """Pieces and scores in order of their ids.

    A letter that only the other language has is found where this one would be at a loss: SentencePiece gives
    an unknown letter back as it is, and Marian looks it up in the vocabulary of both.
    """
    unknown = min(model.scores.values()) - _UNKNOWN_PENALTY
    pieces = []
    for piece in sorted(vocabulary, key=vocabulary.__getitem__):
        if piece in special:
            pieces.append((piece, 0.0))
        elif piece in model.scores or len(piece) == 1:
            pieces.append((piece, model.scores.get(piece, unknown)))
        else:
            pieces.append((_FOREIGN + piece, 0.0))  # a lower score would lower that of all unknown letters
    return pieces


def _is_language(token: str) -> bool:
    """Such as >>fra<<: what the first word of a text to a model of many targets is."""
    return token.startswith(">>") and token.endswith("<<")


def _normalizers(model: SentencePieceModel) -> list[dict[str, Any]]:
    """What SentencePiece does to a text, step by step, down to writing spaces as a letter."""
    steps = [_replace(_FOREIGN, "")]
    if model.charsmap:
        charsmap = base64.b64encode(model.charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if model.collapses_spaces:
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
        steps.append({"type": "Replace", "pattern": {"Regex": r"\A | \z"}, "content": ""})
    if model.prefixes_space:
        steps.append({"type": "Prepend", "prepend": _SPACE})
    return [*steps, _replace(" ", _SPACE)]


def _replace(text: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": text}, "content": content}


def _ending(end: int) -> dict[str, Any]:
    """Puts </s> after a text, or after both texts of a pair."""
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    last = {"SpecialToken": {"id": END, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, last],
        "pair": [first, second, last],
        "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}},
    }


def _read_model(path: Path, vocabulary: dict[str, int]) -> SentencePieceModel:
    require_short(path, _MAX_BYTES)
    try:
        model = parse_sentencepiece(path.read_bytes())
    except UnreadableModelError as error:
        raise InvalidRequest(
            "invalid_tokenizer",
            f"{path.name} {error}. Upload the file that the model was trained with, or a tokenizer.json and "
            "a target_tokenizer.json instead.",
        ) from None
    known = len(model.scores.keys() & vocabulary.keys())
    if 2 * known < len(model.scores):
        raise InvalidRequest(
            "tokenizer_config_mismatch",
            f"vocab.json has {known:,} of the {len(model.scores):,} pieces of {path.name}. Upload files of "
            "the same model.",
        )
    return model


def _read_vocabulary(path: Path, rows: int) -> dict[str, int]:
    require_short(path, _MAX_BYTES)
    vocabulary = _read_json(path)
    if len(vocabulary) > rows:
        raise does_not_fit("ids", len(vocabulary) - 1, rows)
    if not all(type(index) is int for index in vocabulary.values()):
        raise invalid("cannot be built: vocab.json must map tokens to integers")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise invalid("cannot be built: vocab.json must number its tokens from 0 without gaps")
    absent = [token for token in (UNKNOWN, END, PADDING) if token not in vocabulary]
    if absent:
        raise invalid(f"cannot be built: vocab.json lacks {', '.join(absent)}")
    return vocabulary


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise invalid(f"cannot be read ({path.name}: {error})") from None
    if not isinstance(value, dict):
        raise invalid(f"cannot be read ({path.name} is not a JSON object)")
    return value
