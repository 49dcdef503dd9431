"""The pieces of a ``tokenizer.json``: which depend on one another, and how to leave some out.

What is kept cuts a text just as before wherever the cut needed kept pieces alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Protocol

from app.domain.errors import JobError

Tree = dict[str, Any]
"""A ``tokenizer.json``."""


class Pieces(Protocol):
    """The pieces of one kind of model, by their ids."""

    def required(self, seen: Iterable[int]) -> set[int]:
        """What a text of the letters of these pieces needs at least."""

    def parts(self, id_: int) -> set[int]:
        """The piece, and what it is made of."""

    def letters(self, id_: int) -> set[str]:
        """What a text has to hold to be cut into the piece."""

    def trim(self, new_ids: Mapping[int, int]) -> None:
        """Leave out what has no new id, and renumber the rest; new ids are in the order of the old ones."""


def pieces_of(tree: Tree) -> Pieces:
    """The pieces of a tokenizer; trimming them changes the tree.

    Raises:
        JobError: ``unsupported_tokenizer``, when its model is of another kind.
    """
    match tree["model"]["type"]:
        case "WordPiece":
            return WordPiece(tree)
        case "BPE":
            return Bpe(tree)
        case "Unigram":
            return Unigram(tree)
        case kind:
            raise JobError(
                "unsupported_tokenizer",
                f"Tokenizers of type {kind} cannot be trimmed. Omit target.vocabulary_size.",
            )


def letters_of(pieces: Pieces, ids: Iterable[int]) -> set[str]:
    return set[str]().union(*map(pieces.letters, ids))


class WordPiece:
    """The longest piece that begins a word is taken, then the longest that goes on, which has a prefix."""

    def __init__(self, tree: Tree) -> None:
        self._model = tree["model"]
        self._pieces = {id_: piece for piece, id_ in self._model["vocab"].items()}

    def required(self, seen: Iterable[int]) -> set[int]:
        ids: dict[str, int] = self._model["vocab"]
        prefix = self._model["continuing_subword_prefix"]
        wanted = {self._model["unk_token"]}
        for letter in letters_of(self, seen):
            wanted |= {letter, prefix + letter}
        return {ids[piece] for piece in wanted if piece in ids}

    def parts(self, id_: int) -> set[int]:
        return {id_}

    def letters(self, id_: int) -> set[str]:
        piece = self._pieces.get(id_, "").removeprefix(self._model["continuing_subword_prefix"])
        # Words end at brackets: no text is cut into [unused7].
        return {piece} if piece.startswith("[") else set(piece)

    def trim(self, new_ids: Mapping[int, int]) -> None:
        self._model["vocab"] = _renumbered(self._model["vocab"], new_ids)


class Bpe:
    """Letters, or bytes written as letters, are merged pair by pair, the first merge of the list first."""

    def __init__(self, tree: Tree) -> None:
        self._model = model = tree["model"]
        self._prefix = model["continuing_subword_prefix"] or ""
        self._suffix = model["end_of_word_suffix"] or ""
        self._pieces = {id_: piece for piece, id_ in model["vocab"].items()}
        self._ranks = {tuple(pair): rank for rank, pair in reversed([*enumerate(model["merges"])])}
        self._is_byte_level = "ByteLevel" in str(tree["pre_tokenizer"])

    def required(self, seen: Iterable[int]) -> set[int]:
        ids: dict[str, int] = self._model["vocab"]
        wanted = {self._model["unk_token"]} | _bytes(self._model)
        wanted |= letters_of(self, seen)
        if self._is_byte_level:  # any text consists of the 256
            wanted.update(piece for piece in ids if len(piece) == 1)
        return {ids[piece] for piece in wanted if piece in ids}

    def parts(self, id_: int) -> set[int]:
        """And what its letters are merged to on the way, which does not depend on what stands around them."""
        ids: dict[str, int] = self._model["vocab"]
        symbols = self._symbols(self._pieces.get(id_, ""))
        found = set(symbols)
        while True:
            ranks = [self._ranks.get(pair, math.inf) for pair in pairwise(symbols)]
            first = min(ranks, default=math.inf)
            if first == math.inf:
                return {id_} | {ids[symbol] for symbol in found if symbol in ids}
            i = ranks.index(first)
            symbols[i : i + 2] = [self._merged(symbols[i], symbols[i + 1])]
            found.add(symbols[i])

    def letters(self, id_: int) -> set[str]:
        return set(self._symbols(self._pieces.get(id_, "")))

    def trim(self, new_ids: Mapping[int, int]) -> None:
        kept = _renumbered(self._model["vocab"], new_ids)
        self._model["vocab"] = kept
        self._model["merges"] = [
            [left, right]
            for left, right in self._model["merges"]
            if left in kept and right in kept and self._merged(left, right) in kept
        ]

    def _symbols(self, piece: str) -> list[str]:
        """What merging starts from."""
        letters = list(piece.removeprefix(self._prefix).removesuffix(self._suffix))
        if not letters:
            return []
        symbols = [*letters[:1], *(self._prefix + letter for letter in letters[1:])]
        if self._prefix and piece.startswith(self._prefix):
            symbols[0] = self._prefix + symbols[0]
        if self._suffix and piece.endswith(self._suffix):
            symbols[-1] += self._suffix
        return symbols

    def _merged(self, left: str, right: str) -> str:
        return left + right.removeprefix(self._prefix)


class Unigram:
    """Of all ways to cut a text the one is taken whose pieces' scores add up to most."""

    def __init__(self, tree: Tree) -> None:
        self._model = tree["model"]

    def required(self, seen: Iterable[int]) -> set[int]:
        ids = {piece: id_ for id_, (piece, _) in enumerate(self._model["vocab"])}
        scores = [score for _, score in self._model["vocab"]]
        wanted = letters_of(self, seen) | _bytes(self._model)
        # An unknown letter scores as much as the least piece less a constant.
        keep = {scores.index(min(scores)), self._model["unk_id"]} - {None}
        return keep | {ids[piece] for piece in wanted if piece in ids}

    def parts(self, id_: int) -> set[int]:
        return {id_}

    def letters(self, id_: int) -> set[str]:
        pieces = self._model["vocab"]
        return set(pieces[id_][0]) if id_ < len(pieces) else set()

    def trim(self, new_ids: Mapping[int, int]) -> None:
        pieces = self._model["vocab"]
        self._model["vocab"] = [piece for id_, piece in enumerate(pieces) if id_ in new_ids]
        if self._model["unk_id"] is not None:
            self._model["unk_id"] = new_ids[self._model["unk_id"]]


def special_ids(tree: Tree) -> set[int]:
    """Pieces that stand outside any text: added tokens, and those that frame a text."""
    frame = {slots[i] for slots, i in _id_slots(tree["post_processor"])}
    return {token["id"] for token in tree["added_tokens"]} | frame


def trim_tree(tree: Tree, new_ids: Mapping[int, int]) -> None:
    """Leave out of a tokenizer what has no new id, and renumber the rest; special pieces have to have one."""
    pieces_of(tree).trim(new_ids)
    for token in tree["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    if tree["padding"] is not None:
        tree["padding"]["pad_id"] = new_ids[tree["padding"]["pad_id"]]
    for slots, i in _id_slots(tree["post_processor"]):
        slots[i] = new_ids[slots[i]]


def _id_slots(processor: Tree | None) -> Iterator[tuple[list[Any], int]]:
    """Every place in a post-processor where an id stands, as a list and an index."""
    match processor:
        case {"type": "Sequence", "processors": parts}:
            for part in parts:
                yield from _id_slots(part)
        case {"type": "BertProcessing" | "RobertaProcessing", "sep": sep, "cls": cls}:
            yield sep, 1
            yield cls, 1
        case {"type": "TemplateProcessing", "special_tokens": tokens}:
            for token in tokens.values():
                yield from ((token["ids"], i) for i in range(len(token["ids"])))


def _bytes(model: Tree) -> set[str]:
    """What unknown letters are written in."""
    return {f"<0x{byte:02X}>" for byte in range(256)} if model.get("byte_fallback") else set()


def _renumbered(ids: Mapping[str, int], new_ids: Mapping[int, int]) -> dict[str, int]:
    return {piece: new_ids[id_] for piece, id_ in ids.items() if id_ in new_ids}
