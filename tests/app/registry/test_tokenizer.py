"""A tokenizer is a program of sorts: one that could run away or does not fit the model is refused."""

import json
from pathlib import Path

import pytest

from tests.app.registry.conftest import refused
from tests.tiny import zipped


def edit_tokenizer(folder: Path, **changes) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def template(*special: str, ids: int = 2, type_id: int = 0) -> dict:
    """A post-processor that puts special tokens before a text, and between the texts of a pair."""
    before = [{"SpecialToken": {"id": token, "type_id": type_id}} for token in special]
    texts = [{"Sequence": {"id": name, "type_id": type_id}} for name in "AB"]
    known = {token: {"id": token, "ids": [ids], "tokens": [token]} for token in special}
    return {
        "type": "TemplateProcessing",
        "single": [*before, texts[0]],
        "pair": [*before, *texts],
        "special_tokens": known,
    }


def replace(content: str, **pattern: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


class TestTokenizerThatRunsAway:
    """Nothing here may reach the library with a text: it would take the process along."""

    @pytest.mark.parametrize(
        "normalizer",
        [
            {"type": "Sequence", "normalizers": [replace("a" * 50, String="a")] * 2},
            {"type": "Prepend", "prepend": "a" * 100},
            replace("b", Regex="(a*)*$"),
            replace("b", String=""),
            {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
            {"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="},
            {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA" + "YWFh" * 100},
        ],
        ids=lambda normalizer: str(normalizer)[:80],
    )
    def test_normalizer(self, api, folder, normalizer):
        edit_tokenizer(folder, normalizer=normalizer)
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_pre_tokenizer(self, api, folder):
        pattern = {"Regex": "(a|aa)+$"}
        edit_tokenizer(
            folder,
            pre_tokenizer={"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False},
        )
        assert "(a|aa)+$" in refused(api, zipped(folder), "invalid_tokenizer")

    @pytest.mark.parametrize(
        "changes", [{"max_input_chars_per_word": 10**9}, {"continuing_subword_prefix": "#" * 1000}], ids=str
    )
    def test_model(self, api, folder, changes):
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        edit_tokenizer(folder, model=model | changes)
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_more_added_tokens_than_embeddings(self, api, folder):
        token = json.loads((folder / "tokenizer.json").read_text())["added_tokens"][0]
        edit_tokenizer(folder, added_tokens=[token | {"id": i, "content": f"t{i}"} for i in range(1000)])
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_padding_and_truncation_are_for_the_caller_to_set(self, api, folder):
        padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None}
        padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
        truncation = {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 9}
        edit_tokenizer(folder, padding=padding, truncation=truncation)
        response = api.upload_model(zipped(folder))
        assert response.status_code == 201
        url = f"/v1/models/{response.json()['id']}/artifacts/tokenizer.json"
        stored = api.http.get(url).json()
        assert stored["padding"] is None
        assert stored["truncation"] is None


class TestTokenizerThatDoesNotFit:
    @pytest.mark.parametrize(
        "post_processor", [None, template(), template(*["[CLS]"] * 9)], ids=["none", "empty", "nine"]
    )
    def test_special_tokens(self, api, folder, post_processor):
        edit_tokenizer(folder, post_processor=post_processor)
        assert "special tokens" in refused(api, zipped(folder), "invalid_tokenizer")

    @pytest.mark.parametrize("post_processor", [template("[CLS]", ids=99_999), template("[CLS]", type_id=7)])
    def test_ids(self, api, folder, post_processor):
        edit_tokenizer(folder, post_processor=post_processor)
        assert "trained with" in refused(api, zipped(folder), "tokenizer_does_not_fit_config")

    def test_a_text_that_it_cannot_encode(self, api, folder):
        edit_tokenizer(
            folder, model={"type": "WordLevel", "vocab": {"[UNK]": 1, "a": 5}, "unk_token": "[NONE]"}
        )
        assert "cannot be used" in refused(api, zipped(folder), "invalid_tokenizer")


def test_what_xlm_roberta_has_is_taken(api, folder):
    """Its one regular expression, and replacements of a single character."""
    parts = [replace("\u2581", Regex=" {2,}"), replace("'", String="`"), {"type": "NFKC"}]
    edit_tokenizer(folder, normalizer={"type": "Sequence", "normalizers": parts})
    assert api.upload_model(zipped(folder)).status_code == 201
