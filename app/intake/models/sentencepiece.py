"""Reading SentencePiece's protobuf by hand: the pieces, and what is done to a text before it is cut.

The format is https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MAX_PIECES: Final = 1_000_000

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10

_NORMAL, _UNKNOWN, _CONTROL, _UNUSED = 1, 2, 3, 5
_UNIGRAM = 1


class UnreadableModelError(ValueError):
    """The file is not a SentencePiece model of a supported type; a predicate without its subject."""


@dataclass(frozen=True)
class SentencePieceModel:
    """A unigram model. Its ids are left out: Marian numbers the pieces otherwise."""

    scores: dict[str, float]
    """Log-probabilities of the pieces that a text is cut into."""
    charsmap: bytes
    """Replacements of characters, compiled; may be empty."""
    prefixes_space: bool
    """Whether a text is read as if a space stood before it."""
    collapses_spaces: bool
    """Whether spaces at both ends are dropped and others never stand twice."""


@dataclass
class _Normalizer:
    charsmap: bytes = b""
    prefixes_space: bool = True
    collapses_spaces: bool = True
    escapes_spaces: bool = True


def parse_sentencepiece(content: bytes) -> SentencePieceModel:
    """Read a ``.spm`` file.

    Raises:
        UnreadableModelError: it is damaged, or no unigram model of plain pieces.
    """
    scores: dict[str, float] = {}
    normalizer = _Normalizer()
    for number, value in _fields(content):
        if number == 1:
            piece, score, kind = _piece(_message(value))
            if kind == _NORMAL:
                scores[piece] = score
            elif kind not in {_UNKNOWN, _CONTROL, _UNUSED}:
                raise UnreadableModelError(f"has the piece {piece[:50]!r} of the unsupported type {kind}")
        elif number == 2:
            _require_unigram(_message(value))
        elif number == 3:
            normalizer = _normalizer(_message(value))
        if len(scores) > _MAX_PIECES:
            raise UnreadableModelError(f"has more than {_MAX_PIECES:,} pieces")
    if not scores:
        raise UnreadableModelError("has no pieces")
    if not normalizer.escapes_spaces:
        raise UnreadableModelError("does not mark spaces")
    return SentencePieceModel(
        scores=scores,
        charsmap=normalizer.charsmap,
        prefixes_space=normalizer.prefixes_space,
        collapses_spaces=normalizer.collapses_spaces,
    )


def _piece(message: bytes) -> tuple[str, float, int]:
    """A piece, its score and its kind."""
    piece, score, kind = "", 0.0, _NORMAL
    for number, value in _fields(message):
        if number == 1:
            try:
                piece = _message(value).decode()
            except UnicodeDecodeError:
                raise UnreadableModelError("has a piece that is not UTF-8") from None
        elif number == 2:
            score = _float(value)
        elif number == 3:
            kind = _number(value)
    return piece, score, kind


def _require_unigram(trainer: bytes) -> None:
    for number, value in _fields(trainer):
        if number == 3 and value != _UNIGRAM:
            raise UnreadableModelError("is not a Unigram model")
        if number == 24 and value:
            raise UnreadableModelError("marks spaces at the end of words")


def _normalizer(message: bytes) -> _Normalizer:
    found = _Normalizer()
    for number, value in _fields(message):
        if number == 2:
            found.charsmap = _message(value)
        elif number == 3:
            found.prefixes_space = bool(_number(value))
        elif number == 4:
            found.collapses_spaces = bool(_number(value))
        elif number == 5:
            found.escapes_spaces = bool(_number(value))
    return found


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message, in order: numbers as they are, all others as bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in _FIXED_BYTES:
            length = _FIXED_BYTES[wire]
        else:
            raise UnreadableModelError("is not a SentencePiece model")
        if position + length > len(message):
            raise UnreadableModelError("is truncated")
        yield number, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, least significant first, and where it ends."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position >= len(message):
            raise UnreadableModelError("is truncated")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position
    raise UnreadableModelError("is not a SentencePiece model")


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise UnreadableModelError("is not a SentencePiece model")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise UnreadableModelError("is not a SentencePiece model")
    return value


def _float(value: int | bytes) -> float:
    content = _message(value)
    if len(content) != _FIXED_BYTES[_FIXED32]:
        raise UnreadableModelError("is not a SentencePiece model")
    (score,) = struct.unpack("<f", content)
    if not -1e6 < score < 1e6:  # not-a-number fails both
        raise UnreadableModelError("has a score that is infinite or NaN")
    return float(score)
