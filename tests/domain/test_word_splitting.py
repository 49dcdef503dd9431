"""Words of running text, by rules and as a data set has them."""

import pytest

from app.domain.word_splitting import WordSplitter, running_text

NEWS = [
    ["The", "U.S.", "and", "St.", "Louis", "met", "J.", "Smith", "."],
    ["A.", "Jones", "of", "the", "U.S.", "left", "St.", "Paul", ",", "he", "said", "."],
    ["Oslo", "."],
]
CHINESE = [list("李丽去了上海。"), list("张伟在北京")]
JAPANESE = [list("田中さんはトヨタで働く。")]
THAI = [["สมชาย", "ไป", "กรุงเทพ"], ["มาลี", "อยู่", "เชียงใหม่"]]


def split(splitter: WordSplitter, text: str) -> list[str]:
    return [text[start:end] for start, end in splitter.places(text)]


@pytest.mark.parametrize(
    ("sentences", "text", "expected"),
    [
        (NEWS, "K. Berg saw the U.S., St. Ives and Oslo.", "K.|Berg|saw|the|U.S.|,|St.|Ives|and|Oslo|."),
        ([["Oslo,", "Bergen", "(north)."], ["Rome,", "he"]], "Lima, (south).", "Lima,|(|south|)|."),
        ([["Oslo", "/", "Rome"], ["a", "/", "b"]], "Bergen/Lima is", "Bergen|/|Lima|is"),
        (CHINESE, "李丽去了上海。", "李|丽|去|了|上|海|。"),
        (CHINESE, "李丽用iPhone拍照,2024年", "李|丽|用|iPhone|拍|照|,|2024|年"),
        ([list("2024年在CNN。")], "他2019年在BBC", "他|2|0|1|9|年|在|B|B|C"),
        (JAPANESE, "田中はソニーへ", "田|中|は|ソ|ニ|ー|へ"),
        ([["李丽", "去", "了", "上海"]], "李丽去了上海王芳", "李丽|去|了|上海|王芳"),
        (THAI, "สมชายอยู่กรุงเทพ", "สมชาย|อยู่|กรุงเทพ"),
        (THAI, "สมหญิงไปเชียงใหม่ OK", "สมหญิง|ไป|เชียงใหม่|OK"),
        ([list("สมชายไป")], "ชายไป", "ช|า|ย|ไ|ป"),
    ],
)
def test_words_as_the_data_have_them(sentences: list[list[str]], text: str, expected: str) -> None:
    splitter = WordSplitter.learnt(sentences)
    assert "|".join(split(splitter, text)) == expected
    assert WordSplitter.from_json(splitter.to_json()) == splitter


def test_without_data() -> None:
    assert split(WordSplitter(), "李丽 lives,上海") == ["李", "丽", "lives", ",", "上", "海"]
    thai = "".join(THAI[0])
    assert split(WordSplitter(), f"{thai}, ok") == [thai, ",", "ok"]
    places = WordSplitter().places(f"{thai} ok", lambda run: [(0, 5), (5, len(run))])
    assert places == [(0, 5), (5, len(thai)), (len(thai) + 1, len(thai) + 3)]


@pytest.mark.parametrize("sentences", [NEWS, CHINESE, JAPANESE, THAI])
def test_running_text_is_split_into_the_words_that_it_was_made_of(sentences: list[list[str]]) -> None:
    splitter = WordSplitter.learnt(sentences)
    for words in sentences:
        text, places = running_text(words)
        assert [text[start:end] for start, end in places] == words
        assert splitter.places(text) == places


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["(", "Oslo", "'s", "mayor", ")", "did", "n't", ",", "ok", "?"], "(Oslo's mayor) didn't, ok?"),
        (["He", "said", '"', "no", '"', "."], 'He said "no".'),
        (["李", "丽", "\uff0c", "OK", "。"], "李丽\uff0cOK。"),
        ([], ""),
    ],
)
def test_words_as_people_write_them(words: list[str], text: str) -> None:
    assert running_text(words)[0] == text
