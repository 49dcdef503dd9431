"""Words and punctuation marks."""

import time

import pytest

from app.domain.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's fine, snake_case 2.5!", ["It", "'", "s", "fine", ",", "snake_case", "2", ".", "5", "!"]),
        ("Zürich — ja", ["Zürich", "—", "ja"]),
        ("cafe\u0301!", ["cafe\u0301", "!"]),
        ("हिन्दी है।", ["हिन्दी", "है", "।"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001 - the letters are meant
        ("I ❤\ufe0f it", ["I", "❤\ufe0f", "it"]),
        (" \t\n", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected
    assert "".join(words(text)) == "".join(text.split())


def test_marks_cost_no_more_than_letters():
    """Where the set of marks is long, each character of a text is compared with all of it."""

    def cost(text):
        spent = []
        for _ in range(3):
            before = time.process_time()
            words(text)
            spent.append(time.process_time() - before)
        return min(spent)

    assert cost("!\u2019" * 100_000) < 6 * cost("!?" * 100_000)
