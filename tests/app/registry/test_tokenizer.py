"""A tokenizer is a program of sorts: one that could run away or does not fit the model is refused."""

import json
import time
from pathlib import Path

import pytest

from app.intake.models.tokenizer_bounds import unbounded_part
from app.intake.models.tokenizer_probe import UnsoundTokenizerError, build_checked
from tests.app.registry.conftest import accepted, refused
from tests.app.registry.translation import train_sentencepiece
from tests.tiny import tiny_model_folder, zipped


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


def nested(step: dict, *, depth: int) -> dict:
    for _ in range(depth):
        step = {"type": "Sequence", "normalizers": [step]}
    return step


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
        "changes",
        [
            {"max_input_chars_per_word": 10**9},
            {"continuing_subword_prefix": "#" * 1000},
            {"end_of_word_suffix": "#" * 1000},
            {"merges": [["a", "b"]] * 10_000},
            {"vocab": {"a": 0, "b": 0}},
        ],
        ids=lambda changes: str(changes)[:60],
    )
    def test_model(self, api, folder, changes):
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        edit_tokenizer(folder, model=model | changes)
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_more_added_tokens_than_embeddings(self, api, folder):
        token = json.loads((folder / "tokenizer.json").read_text())["added_tokens"][0]
        edit_tokenizer(folder, added_tokens=[token | {"id": i, "content": f"t{i}"} for i in range(1000)])
        refused(api, zipped(folder), "invalid_tokenizer")

    @pytest.mark.parametrize(
        "steps",
        [
            {"normalizer": {"type": "Sequence", "normalizers": [replace("a", String="a")] * 20_000}},
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}] * 33}},
            {"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}] * 33}},
            {"post_processor": {"type": "Sequence", "processors": [template("[CLS]")] * 33}},
            {"normalizer": nested({"type": "Lowercase"}, depth=100)},
        ],
        ids=lambda steps: next(iter(steps)),
    )
    def test_too_many_steps(self, api, folder, steps):
        edit_tokenizer(folder, **steps)
        assert "32 steps" in refused(api, zipped(folder), "invalid_tokenizer")

    def test_steps_that_are_few_and_slow(self, api, folder):
        """Each rewrites a text of Chinese, which the first makes of one letter."""
        normalizer = {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": True,
            "lowercase": True,
        }
        steps = [replace("\u6f22", String="a"), *[normalizer] * 29]
        edit_tokenizer(folder, normalizer={"type": "Sequence", "normalizers": steps})
        message = refused(api, zipped(folder), "invalid_tokenizer")
        assert "too slow" in message
        assert "CPU time" in message

    def test_a_vocabulary_that_is_slow(self):
        """At every place in a text of one letter, 512 pieces fit, each of two bytes a letter."""
        pieces = [["[UNK]", 0.0], *(["\u00e9" * length, -float(length)] for length in range(1, 513))]
        model = {"type": "Unigram", "unk_id": 0, "vocab": pieces}
        with pytest.raises(UnsoundTokenizerError, match="too slow"):
            build_checked({"added_tokens": [], "model": model}, vocabulary=1000)

    def test_a_long_added_token(self, api, folder):
        tokens = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        edit_tokenizer(folder, added_tokens=[tokens[0] | {"content": "a" * 513}, *tokens[1:]])
        assert "longer than 512" in refused(api, zipped(folder), "invalid_tokenizer")

    @pytest.mark.parametrize(("number", "length"), [(10_001, 1), (2_000, 500)])
    def test_added_tokens_together(self, number, length):
        tokenizer = {"added_tokens": [{"content": "a" * length}] * number}
        assert "added_tokens" in (unbounded_part(tokenizer, vocabulary=100_000) or "")

    def test_deep_json(self, api, folder):
        (folder / "tokenizer.json").write_text('{"a": ' * 100_000)
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_long_json_is_not_read_by_the_server(self, api, folder):
        """All its threads would wait."""
        text = '{"model": [' + "[]," * 5_000_000 + "[]]}"
        before = time.process_time()
        json.loads(text)
        reading_s = time.process_time() - before
        (folder / "tokenizer.json").write_text(text)
        archive = zipped(folder)
        before = time.process_time()
        refused(api, archive, "invalid_tokenizer")
        assert time.process_time() - before < reading_s

    @pytest.mark.parametrize(
        ("name", "pieces"), [("single", "AA"), ("pair", "AAB"), ("single", "B"), ("single", "A" * 17)]
    )
    def test_a_template_that_repeats_a_text(self, api, folder, name, pieces):
        """Its texts would be longer than they were cut to be."""
        processor = template("[CLS]")
        sequences = [{"Sequence": {"id": piece, "type_id": 0}} for piece in pieces]
        edit_tokenizer(folder, post_processor=processor | {name: [processor["single"][0], *sequences]})
        assert "template" in refused(api, zipped(folder), "invalid_tokenizer")

    def test_padding_and_truncation_are_those_of_the_model(self, api, folder):
        padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None}
        padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
        truncation = {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 9}
        edit_tokenizer(folder, padding=padding, truncation=truncation)
        response = api.upload_model(zipped(folder))
        assert response.status_code == 201
        url = f"/v1/models/{response.json()['id']}/artifacts/tokenizer.json"
        stored = api.http.get(url).json()
        assert stored["padding"] is None
        whole = {"direction": "Right", "max_length": 64, "strategy": "LongestFirst", "stride": 0}
        assert stored["truncation"] == whole


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
        assert "trained with" in refused(api, zipped(folder), "tokenizer_config_mismatch")

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


@pytest.mark.parametrize(
    ("family", "class_name", "file", "special"),
    [
        ("camembert", "CamembertTokenizer", "sentencepiece.bpe.model", {}),
        (
            "albert",
            "AlbertTokenizer",
            "spiece.model",
            {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "bos_piece": "[CLS]", "eos_piece": "[SEP]"},
        ),
    ],
)
def test_what_transformers_makes_of_a_sentencepiece_file_is_taken(
    api, tmp_path, family, class_name, file, special
):
    import transformers

    (tmp_path / file).write_bytes(
        train_sentencepiece(["film", "story", "warm"], size=40, hard_vocab_limit=False, **special)
    )
    tokenizer = getattr(transformers, class_name).from_pretrained(tmp_path)
    model = accepted(
        api, tiny_model_folder(tmp_path / "model", family=family, tokenizer=tokenizer.backend_tokenizer)
    )
    assert model["architecture"] == family
