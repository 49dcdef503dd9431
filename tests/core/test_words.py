"""Words and punctuation marks."""

import pytest

from app.core.words import words


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
