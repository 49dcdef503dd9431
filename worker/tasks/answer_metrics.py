"""How good answers are, as SQuAD's own script has it."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """In small letters, without punctuation marks, articles and spaces beside the one between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, right: Sequence[str]) -> float:
    """Whether an answer is one of the right ones; none are: whether it is empty."""
    return max(float(normalised(answer) == normalised(text)) for text in right or [""])


def word_f1(answer: str, right: Sequence[str]) -> float:
    """The most words that an answer shares with one of the right ones, as an F1; 1 of empty texts."""
    return max(_f1(normalised(answer).split(), normalised(text).split()) for text in right or [""])


def _f1(one: Sequence[str], other: Sequence[str]) -> float:
    if not one or not other:
        return float(one == other)
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other))
