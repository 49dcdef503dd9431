"""Whatever a folder says of its tokenizer: the ids are those of transformers' AutoTokenizer.

How to try more folders than the suite has time for: see CONTRIBUTING.md.
"""

import json
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.domain.errors import InvalidRequest
from app.engine.tokenizing import TextTokenizer
from app.intake.models.model_config import read_config
from app.intake.models.tokenizer import read_tokenizers
from tests.app.intake.tokenizer_folders import TokenizerFolder, folders, texts

EXAMPLES = int(os.environ.get("SQUEEZE_TOKENIZER_EXAMPLES", "0"))
"""Folders; 0: what the suite has time for."""

_REFUSALS = (
    *("ids go up to", "in its vocabulary", "adds more tokens than"),
    *("cannot be used (WordPiece error", "The folder has no"),
)
"""Of folders for which transformers makes up a vocabulary, or tokens that the network has no rows for."""

pytestmark = pytest.mark.filterwarnings("ignore")


@settings(
    max_examples=EXAMPLES or 12,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(folder=folders(), written=st.lists(texts, min_size=4, max_size=8))
def test_ids_are_those_of_transformers(folder: TokenizerFolder, written: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        compare(folder.write(Path(place, "given")), Path(place), written)


def compare(given_folder: Path, place: Path, written: list[str]) -> None:
    from transformers import AutoTokenizer

    config = read_config(json.loads((given_folder / "config.json").read_text()))
    try:
        theirs = AutoTokenizer.from_pretrained(given_folder)
        theirs("a", "b")
    except Exception as error:  # noqa: BLE001 - whatever it raises, there is nothing to compare with
        event(f"transformers fails: {type(error).__name__}")
        return
    try:
        read = read_tokenizers(given_folder, config, None)
    except InvalidRequest as error:
        if not any(part in error.message for part in _REFUSALS):
            raise
        event("refused")
        return
    event("read")
    made = place / "made"
    made.mkdir()
    for name, content in read.files.items():
        (made / name).write_text(content)
    (made / "config.json").write_text(json.dumps(config.kept))
    ours = TextTokenizer.from_file(made / "tokenizer.json", max_length=read.max_length)
    again = AutoTokenizer.from_pretrained(made)
    cut = {"truncation": True, "max_length": min(theirs.model_max_length, config.max_length)}
    pairs = [(text, pair) for text, pair in pairwise(written) if pair]  # "" is no pair to transformers
    for texts_given in [*((text,) for text in written), *pairs]:
        if max(theirs(*texts_given)["input_ids"]) >= config.architecture.vocabulary:
            continue  # a special token that the network has no row for: to transformers' network an error
        found = ours.encode([texts_given if len(texts_given) == 2 else texts_given[0]])[0]
        for tokenizer, options in ((theirs, cut), (again, {"truncation": True})):
            expected = tokenizer(*texts_given, **options)
            assert found.ids == expected["input_ids"], (texts_given, tokenizer)
            if config.architecture.token_types > 1:
                assert found.type_ids == expected.get("token_type_ids", [0] * len(found)), texts_given
