"""Texts and words to tokens, where a tokenizer marks spaces or cuts texts on the left."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from app.engine.tokenizing import TextTokenizer
from tests.tiny import tiny_tokenizer
from worker.data.tokenization import tokenize_words

SENTENCE = ["Anna", "saw", "Rome"]


def byte_pairs(*, prefixes: bool) -> Tokenizer:
    """Of letters, with words that stand behind a space."""
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġs", "aw", "Ġsaw"]
    vocabulary = {piece: index for index, piece in enumerate(["<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "s"), ("a", "w"), ("Ġs", "aw")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefixes)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), True, prefixes)
    return tokenizer


def test_words_are_read_as_inside_a_text():
    without, with_prefix = byte_pairs(prefixes=False), byte_pairs(prefixes=True)
    inside = with_prefix.encode(" ".join(SENTENCE)).ids
    for tokenizer in (without, with_prefix):
        served, firsts = TextTokenizer(tokenizer, max_length=64).encode_words([SENTENCE])[0]
        assert served.ids == inside
        assert [tokenizer.id_to_token(served.ids[place]) for place in firsts.values()] == ["Ġ", "Ġsaw", "Ġ"]
        trained = tokenize_words([SENTENCE], tokenizer=tokenizer, max_length=64)
        assert trained.ids.tolist() == inside


def test_words_of_a_tokenizer_that_marks_no_spaces_are_read_as_they_are():
    tokenizer = TextTokenizer(tiny_tokenizer(), max_length=64)
    assert tokenizer.encode_words([SENTENCE])[0][0].ids == tokenizer.encode([" ".join(SENTENCE)])[0].ids


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_are_cut_on_the_side_of_their_tokenizer(side):
    tokenizer = byte_pairs(prefixes=True)
    tokenizer.enable_truncation(64, direction=side)
    text, whole = "saw Anna", tokenizer.encode("saw Anna").ids
    cut = TextTokenizer(Tokenizer.from_str(tokenizer.to_str()), max_length=4).encode([text])[0].ids
    assert cut == [0, *(whole[-3:-1] if side == "left" else whole[1:3]), 1]


def test_a_text_is_cut_where_its_pieces_begin():
    vocabulary = {"[UNK]": 0, "ไป": 1, "##กรุง": 2, "##เทพ": 3}
    tokenizer = TextTokenizer(Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")), max_length=8)
    assert tokenizer.piece_places("ไปกรุงเทพ") == [(0, 2), (2, 6), (6, 9)]
    assert tokenizer.piece_places("ไปเมือง") == [(0, 7)]  # one piece, unknown
