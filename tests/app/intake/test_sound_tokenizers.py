"""Tokenizers that need no second check."""

from pathlib import Path

from app.intake.models.sound_tokenizers import SoundTokenizers


def test_a_content_is_known_by_what_it_was_checked_for(tmp_path: Path) -> None:
    known, path = SoundTokenizers(), tmp_path / "tokenizer.json"
    path.write_text("{}")
    known.keep(known.key(path, vocabulary=100), b"made")
    assert known.get(known.key(path, vocabulary=100)) == b"made"
    assert known.get(known.key(path, vocabulary=101)) is None
    path.write_text("{ }")
    assert known.get(known.key(path, vocabulary=100)) is None


def test_the_one_used_least_recently_goes_first() -> None:
    known = SoundTokenizers(max_bytes=10)
    for key in ("a", "b"):
        known.keep(key, b"12345")
    known.get("a")
    known.keep("c", b"123")
    assert [known.get(key) is None for key in "abc"] == [False, True, False]
    known.keep("large", b"0" * 11)
    assert known.get("large") is None
