"""Windows of long texts are those that tokenizers itself cuts, whatever kind of tokenizer it is."""

import pytest
from tokenizers import Tokenizer

from app.engine.tokenizing import TextTokenizer
from app.engine.word_windows import word_windows
from tests.tiny_tokenizers import tokenizer_of

WORDS = ["the", "actors", "were", "superb", ",", "Ærø", "and", "dull", "1999", "wonderful", "."] * 3


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
@pytest.mark.parametrize("stride", [0, 5, 16])
def test_windows(family: str, stride: int) -> None:
    text = tokenizer_of(family).to_str()
    tokenizer = TextTokenizer(Tokenizer.from_str(text), max_length=20)
    other = Tokenizer.from_str(text)
    other.enable_truncation(20, stride=stride)
    spaced = [" " * tokenizer.spaces_before_words + word for word in WORDS]
    whole = other.encode(spaced, is_pretokenized=True)
    [windows] = word_windows(tokenizer, [WORDS], stride=stride)
    parts = [whole, *whole.overflowing]
    assert [window.tokens.ids for window in windows] == [part.ids for part in parts]
    assert [window.tokens.type_ids for window in windows] == [part.type_ids for part in parts]
    for window, part in zip(windows, parts, strict=True):
        own = part.word_ids[window.begin : window.begin + len(window.pieces)]
        assert [piece.word for piece in window.pieces] == own
        assert all(0 <= p.start <= p.end <= len(WORDS[p.word]) for p in window.pieces)
    [[first]] = word_windows(tokenizer, [WORDS], stride=None)
    assert first == windows[0]
    assert first.tokens.ids == tokenizer.encode_words([WORDS])[0][0].ids


def test_pieces_lie_in_their_words() -> None:
    for family in ("bert", "roberta", "deberta-v2"):
        tokenizer = TextTokenizer(Tokenizer.from_str(tokenizer_of(family).to_str()), max_length=500)
        [[window]] = word_windows(tokenizer, [WORDS], stride=0)
        for number, word in enumerate(WORDS):
            parts = [piece for piece in window.pieces if piece.word == number]
            assert "".join(dict.fromkeys(word[p.start : p.end] for p in parts)).startswith(word[:1])
            assert parts[-1].end == len(word)


def test_cut_on_the_left() -> None:
    """The windows are still all of the text, in its order."""
    one, other = (Tokenizer.from_str(tokenizer_of("bert").to_str()) for _ in range(2))
    one.enable_truncation(20, direction="left")
    cut = [word_windows(TextTokenizer(t, max_length=20), [WORDS], stride=5)[0] for t in (one, other)]
    assert cut[0] == cut[1]


def test_no_words_are_one_window() -> None:
    tokenizer = TextTokenizer(Tokenizer.from_str(tokenizer_of("bert").to_str()), max_length=20)
    [[window]] = word_windows(tokenizer, [[]], stride=5)
    assert window.pieces == []
    assert len(window.tokens) == 2
