"""Tiny tokenizers of each family's kind, trained on the words of the tiny data sets."""

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.families import FAMILY_ROWS, Pieces
from tests.tiny import tiny_examples

_VOCABULARY = 400
_LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789 .,!?"


@cache
def tokenizer_of(family: str) -> Tokenizer:
    """A tokenizer as the models of a family come with, whose words are those of ``tiny_examples``."""
    return _trained(FAMILY_ROWS[family].pieces)


@cache
def _trained(pieces: Pieces) -> Tokenizer:
    settings = {"vocab_size": _VOCABULARY, "special_tokens": list(pieces.special), "show_progress": False}
    match pieces.model:
        case "word_piece":
            tokenizer = Tokenizer(models.WordPiece(unk_token=pieces.unknown))
            tokenizer.normalizer = normalizers.BertNormalizer(lowercase=pieces.lowercase)
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            tokenizer.decoder = decoders.WordPiece()
            trainer = trainers.WordPieceTrainer(**settings)
        case "byte_pairs":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **settings)
        case "unigram":
            tokenizer = Tokenizer(models.Unigram(_scored(pieces), pieces.special.index(pieces.unknown)))
            steps = [normalizers.NFKD(), normalizers.Replace("``", '"')]
            steps += [normalizers.StripAccents(), normalizers.Lowercase()] if pieces.lowercase else []
            tokenizer.normalizer = normalizers.Sequence(steps)
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            tokenizer.add_special_tokens(list(pieces.special))
            trainer = None  # it would cut so few words into letters
    if trainer is not None:
        tokenizer.train_from_iterator([*_texts(), _LETTERS], trainer)
    first, last = pieces.frame
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in pieces.frame],
    )
    return tokenizer


def _texts() -> list[str]:
    return [example["text"] for example in tiny_examples(512)]


def _scored(pieces: Pieces) -> list[tuple[str, float]]:
    """Whole words, and letters for all others."""
    words = sorted({word for text in _texts() for word in text.split()})
    scored = [(f"\u2581{word}", -5.0) for word in words]
    scored += [(letter, -10.0) for letter in ("\u2581", *sorted(set(_LETTERS) - {" "}))]
    return [*((token, 0.0) for token in pieces.special), *scored]
