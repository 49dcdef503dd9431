"""How many windows a context is planned to be, beside how many it is cut into."""

import pytest

from app.domain.planning import windows_of
from app.engine.question_windows import WindowTokenizer
from app.engine.tokenizing import Question
from tests.tiny import tiny_tokenizer


@pytest.mark.parametrize("max_length", [64, 128, 384])
@pytest.mark.parametrize("words", [10, 60, 120, 500, 900])
def test_as_many_as_there_are(words, max_length):
    question = Question("the one was " * 5, "film " * words)
    [windows] = WindowTokenizer(tiny_tokenizer(), max_length=max_length).windows([question])
    assert windows_of(words + 18, max_length) == pytest.approx(len(windows), abs=1)
