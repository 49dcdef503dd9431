"""From the words of a text, however long it is, to windows of pieces that a network reads."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tokenizers import Encoding

from app.engine.tokenizing import TextTokenizer, TokenizedText


class WordPiece(NamedTuple):
    """A token of a word, which is ``word[start:end]``."""

    name: str
    """As the vocabulary has it."""
    word: int
    """Its number in the text."""
    start: int
    end: int
    id: int
    type_id: int


class WordWindow(NamedTuple):
    """What a network reads at once: pieces, and the tokens that a tokenizer sets around them."""

    tokens: TokenizedText
    pieces: list[WordPiece]
    begin: int
    """Where the pieces lie in the tokens: from here on, one after the other."""
    is_cut: bool
    """Whether the first of them belongs to a word that began before."""


def word_windows(
    tokenizer: TextTokenizer, sentences: Sequence[Sequence[str]], *, stride: int | None
) -> list[list[WordWindow]]:
    """The windows of each sentence, in its order.

    Args:
        tokenizer: of the model.
        sentences: the words of each.
        stride: pieces that neighbouring windows share; None: the first window is all there is.
    """
    room = tokenizer.room
    windows = []
    for encoding in tokenizer.word_encodings(sentences):
        parts = [encoding] if stride is None else tokenizer.parts(encoding)
        pieces = [piece for part in parts for piece in _pieces(part, tokenizer.spaces_before_words)]
        begins = [0] if stride is None else _begins(len(pieces), room, stride)
        windows.append([_window(encoding, pieces, begin, begin + room) for begin in begins])
    return windows


def _begins(pieces: int, room: int, stride: int) -> range:
    """Where windows begin: the last one is the first that reaches the end."""
    step = room - stride
    beyond = max(0, pieces - room)
    return range(0, beyond + step, step) if beyond else range(1)


def _window(encoding: Encoding, pieces: Sequence[WordPiece], begin: int, end: int) -> WordWindow:
    before, after = _frame(encoding)
    part = list(pieces[begin:end])
    tokens = TokenizedText(
        [*encoding.ids[:before], *(piece.id for piece in part), *encoding.ids[after:]],
        [*encoding.type_ids[:before], *(piece.type_id for piece in part), *encoding.type_ids[after:]],
    )
    is_cut = bool(begin and part and pieces[begin - 1].word == part[0].word)
    return WordWindow(tokens, part, before, is_cut)


def _frame(encoding: Encoding) -> tuple[int, int]:
    """Where the tokens of the text begin, and where they end."""
    added = encoding.special_tokens_mask
    before = next((place for place, is_added in enumerate(added) if not is_added), len(added))
    after = next((place for place in range(len(added), before, -1) if not added[place - 1]), before)
    return before, after


def _pieces(encoding: Encoding, spaces: int) -> Iterator[WordPiece]:
    columns = (encoding.tokens, encoding.word_ids, encoding.offsets, encoding.ids, encoding.type_ids)
    for (name, word, (start, end), id_, type_id), is_added in zip(
        zip(*columns, strict=True), encoding.special_tokens_mask, strict=True
    ):
        if word is not None and not is_added:
            yield WordPiece(name, word, max(0, start - spaces), max(0, end - spaces), id_, type_id)
