"""Model folders as people have them: the layouts of many tools and years, and what their files mean."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer

from app.domain.documents.manifest import ModelManifest
from app.domain.errors import InvalidRequest
from app.engine.tokenizing import TextTokenizer
from app.intake.limited_process import Limits, run_limited
from app.intake.models.reading import read_archive
from app.intake.models.upload import CONVERSION
from tests.app.registry.conftest import accepted, downloaded, edit_config, edit_tensors
from tests.tiny import zipped

SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
INDEX = "model.safetensors.index.json"
TABLE = "bert.embeddings.word_embeddings.weight"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["film", "café", "cafe", "covid", "user"]
TEXTS = ["A film", "Café covid, @user!", "the\u2028film [MASK] url", "film " * 100]


@pytest.fixture
def words(folder: Path) -> Path:
    """The model with a word list of its own."""
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    lines = [*SPECIAL, *("\n".join(f"{a}\n##{a}" for a in "abcdefghijklmnopqrstuvwxyz").split("\n")), *WORDS]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    return folder


def settings(folder: Path, name: str = "tokenizer_config.json", **values) -> None:
    (folder / name).write_text(json.dumps(values))


def read(folder: Path) -> ModelManifest:
    """What an upload of a folder is found to be; its files lie beside it."""
    return unpacked(zipped(folder), beside(folder))


def beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-read")


def unpacked(archive: Path, place: Path) -> ModelManifest:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with archive.open("rb") as file:
        found = read_archive({"folder": str(place), "max_bytes": 2**30, "labels": None}, file)
    return ModelManifest.model_validate(found)


def refused(folder: Path, code: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(folder)
    assert caught.value.code == code
    return caught.value.message


def assert_read_alike(folder: Path) -> ModelManifest:
    """As transformers reads the folder."""
    manifest = read(folder)
    assert_same_ids(folder, beside(folder) / "made", manifest.max_length)
    return manifest


def assert_same_ids(folder: Path, taken: Path, length: int) -> None:
    """Those of transformers, of what is served and of what transformers reads of the files that are taken."""
    served = TextTokenizer.from_file(taken / "tokenizer.json", max_length=length)
    theirs, again = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(taken)
    for text in TEXTS:
        ids = served.encode([text])[0].ids
        assert ids == theirs(text, truncation=True, max_length=length)["input_ids"]
        assert ids == again(text, truncation=True)["input_ids"]


class TestTokenizers:
    def test_what_is_downloaded_is_read_alike(self, api, words, tmp_path):
        settings(words, strip_accents=False, truncation_side="left", model_max_length=16)
        taken = downloaded(api, accepted(api, words), tmp_path / "taken")
        assert_same_ids(words, taken, 16)

    def test_no_training_framework_is_loaded(self):
        """transformers reads them without torch, in the process that this one's uploads are read in."""
        frameworks = ["transformers.models.bert.tokenization_bert", "torch", "tensorflow", "jax"]
        limits = Limits(memory_bytes=2**30, cpu_s=60, wall_s=300)
        function = "tests.app.intake.limited_functions:is_imported"
        loaded = run_limited(function, frameworks, limits, modules=CONVERSION)
        assert loaded == ["transformers.models.bert.tokenization_bert"]

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_lines_end_at_line_ends_alone(self, words, end):
        lines = (words / "vocab.txt").read_text().split("\n")[:-1]
        lines[5:5] = ["\u2028", "x\u0085", "y\x0b", "z\x1c"]
        (words / "vocab.txt").write_bytes(end.join([*lines, ""]).encode())
        assert_read_alike(words)

    def test_blank_lines_at_the_end_of_a_full_table(self, words):
        lines = (words / "vocab.txt").read_text().split("\n")
        (words / "vocab.txt").write_text("\n".join([*lines[:-1], "\n"]))
        edit_config(words, vocab_size=len(lines) - 1)
        edit_tensors(words, lambda t: t.update({TABLE: t[TABLE][: len(lines) - 1]}))
        assert_read_alike(words)

    def test_a_carriage_return_alone_ends_a_line(self, words):
        content = (words / "vocab.txt").read_bytes()
        as_it_is = tokenizer_of(words)
        (words / "vocab.txt").write_bytes(content.replace(b"\n", b"\r"))
        assert tokenizer_of(words) == as_it_is

    @pytest.mark.parametrize(
        "values",
        [
            {"do_lower_case": True, "strip_accents": False},
            {"do_lower_case": False},
            {"tokenize_chinese_chars": False, "truncation_side": "left", "model_max_length": 16},
            {"additional_special_tokens": ["url"], "padding_side": "left"},
        ],
        ids=lambda values: next(iter(values)),
    )
    def test_settings(self, words, values):
        settings(words, **values)
        assert assert_read_alike(words).max_length == values.get("model_max_length", 64)

    def test_settings_against_tokenizer_json(self, words):
        AutoTokenizer.from_pretrained(words).save_pretrained(words)
        whole = json.loads((words / "tokenizer_config.json").read_text())
        settings(words, **(whole | {"strip_accents": False}))
        assert_read_alike(words)

    def test_added_tokens(self, words):
        settings(words, "added_tokens.json", **{"@user": 62, "url": 63})
        settings(words, "special_tokens_map.json", additional_special_tokens=["url"])
        assert_read_alike(words)

    def test_an_added_token_without_a_row(self, words):
        settings(words, "added_tokens.json", **{f"token {number}": number for number in range(500)})
        refused(words, "invalid_tokenizer")

    @pytest.mark.parametrize("name", ["BertJapaneseTokenizer", "KoBertTokenizer", "BertweetTokenizer"])
    def test_a_class_that_is_no_plain_one(self, words, name):
        settings(words, tokenizer_class=name)
        message = refused(words, "invalid_tokenizer")
        assert f"tokenizer_config.json names the tokenizer_class '{name}'" in message
        assert "set tokenizer_class to PreTrainedTokenizerFast" in message

    def test_a_class_that_the_config_names(self, words):
        edit_config(words, tokenizer_class="PhobertTokenizer")
        message = refused(words, "invalid_tokenizer")
        assert message.startswith("config.json names the tokenizer_class 'PhobertTokenizer'")

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ({"do_basic_tokenize": False}, "do_basic_tokenize: false"),
            ({"do_lower_case": "yes"}, "do_lower_case must be true or false"),
            ({"truncation_side": "middle"}, "truncation_side must be left or right"),
            ({"mask_token": 5}, "mask_token must be a token"),
            ({"model_max_length": 2}, "Set at least 8"),
            ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder must map ids"),
        ],
        ids=lambda value: value if isinstance(value, str) else next(iter(value)),
    )
    def test_settings_that_are_none(self, words, values, says):
        settings(words, **values)
        assert says in refused(words, "invalid_tokenizer")

    def test_settings_reach_no_argument_that_is_not_known(self, words):
        """transformers would take each key for one."""
        settings(
            words, vocab={"[UNK]": 0}, tokenizer_file="/etc/passwd", vocab_file="/etc/passwd", errors="x"
        )
        with_them = tokenizer_of(words)
        (words / "tokenizer_config.json").unlink()
        assert tokenizer_of(words) == with_them


class TestWeights:
    def test_shards(self, api, folder, tmp_path):
        tensors = shard(folder)
        model = accepted(api, folder)
        merged = load_file(downloaded(api, model, tmp_path / "taken") / "model.safetensors")
        assert merged.keys() == tensors.keys()
        assert all((merged[name] == tensors[name]).all() for name in tensors)

    def test_a_shard_that_is_missing(self, folder):
        shard(folder)
        (folder / SHARDS[1]).unlink()
        assert f"names {SHARDS[1]}, which the folder does not have" in refused(folder, "sharded_weights")

    def test_shards_without_an_index(self, folder):
        shard(folder)
        (folder / INDEX).unlink()
        assert f"but no {INDEX}" in refused(folder, "sharded_weights")

    def test_one_tensor_in_two_shards(self, folder):
        shard(folder)
        (folder / SHARDS[1]).write_bytes((folder / SHARDS[0]).read_bytes())
        assert "both hold" in refused(folder, "sharded_weights")

    @pytest.mark.parametrize(
        "index", ["{}", '{"weight_map": {"a": "../x"}}', '{"weight_map": {"a": "model.safetensors"}}', "[1]"]
    )
    def test_an_index_that_is_none(self, folder, index):
        shard(folder)
        (folder / INDEX).write_text(index)
        refused(folder, "invalid_config" if index == "[1]" else "sharded_weights")

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("adapter_model.safetensors", "merge_and_unload"),
            ("tf_model.h5", "from_tf=True"),
            ("flax_model.msgpack", "from_flax=True"),
            ("model.onnx", "teacher_scores"),
            ("model-q4.gguf", "teacher_scores"),
            ("weights.safetensors", "call it model.safetensors"),
        ],
    )
    def test_what_lies_there_instead_is_named(self, folder, name, says):
        (folder / "model.safetensors").rename(folder / name)
        message = refused(folder, "missing_weights")
        assert message.startswith(f"The upload has no model.safetensors, and {name} ")
        assert says in message
        (folder / "config.json").unlink()
        assert refused(folder, "missing_weights") == message

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
    def test_a_pointer_of_git_lfs(self, folder, name):
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        assert f"{name} is a pointer of Git LFS" in refused(folder, "pointer_file")

    @pytest.mark.parametrize(
        ("rename", "says"),
        [
            ("module.{}", "begin with 'module.'"),
            ("_orig_mod.{}", "model._orig_mod.save_pretrained(folder)"),
            ("base_model.model.{}.lora_A", "merge_and_unload"),
        ],
    )
    def test_a_network_within_another(self, folder, rename, says):
        tensors = load_file(folder / "model.safetensors")
        renamed = {rename.format(name): tensor for name, tensor in tensors.items()}
        save_file(renamed, folder / "model.safetensors")
        assert says in refused(folder, "weights_config_mismatch")

    def test_what_a_training_leaves_beside_no_weights(self, folder):
        (folder / "model.safetensors").unlink()
        (folder / "training_args.bin").write_bytes(b"\x80\x02}.")
        refused(folder, "missing_weights")

    def test_the_pickle_with_the_weights_is_named(self, folder):
        (folder / "model.safetensors").unlink()
        for name in ("a.bin", "optimizer.pt", "pytorch_model.bin"):
            (folder / name).write_bytes(b"\x80\x02}.")
        assert refused(folder, "pickled_weights").startswith("pytorch_model.bin")


def tokenizer_of(folder: Path) -> str:
    read(folder)
    return (beside(folder) / "made" / "tokenizer.json").read_text()


def shard(folder: Path) -> dict:
    """Part the weights as ``save_pretrained(max_shard_size=...)`` does."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: SHARDS[number % 3] for number, name in enumerate(tensors)}
    for file in SHARDS:
        part = {name: tensor for name, tensor in tensors.items() if places[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return tensors
