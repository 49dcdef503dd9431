"""Folders as other libraries lay them out, and archives as other programs pack them."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from app.domain.errors import InvalidRequest
from tests.app.registry.conftest import edit_config
from tests.app.registry.test_folders import SPECIAL, read, refused, unpacked
from tests.tiny import LABELS, tarred, tiny_model_folder, zipped


class TestLayouts:
    @pytest.mark.parametrize("family", ["bert", "distilbert", "albert"])
    def test_a_config_of_2019(self, tmp_path, family):
        folder = tiny_model_folder(tmp_path / "model", family=family, labels=LABELS)
        without_model_type(folder)
        manifest = read(folder)
        assert manifest.architecture.family == family
        assert manifest.notes == [f"config.json has no model_type: by its weights the model is {family}."]

    def test_a_bare_encoder_of_2019(self, tmp_path):
        folder = tiny_model_folder(tmp_path / "model")
        tensors = load_file(folder / "model.safetensors")
        bare = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
        save_file(bare, folder / "model.safetensors")
        without_model_type(folder)
        assert "may be of 'bert' or 'roberta'" in refused(folder, "unknown_architecture")
        (folder / "vocab.txt").write_text("\n".join(SPECIAL))
        assert read(folder).architecture.family == "bert"

    def test_the_config_of_the_first_berts(self, folder):
        without_model_type(folder)
        (folder / "config.json").rename(folder / "bert_config.json")
        assert read(folder).labels == LABELS

    def test_sentence_transformers_of_today(self, folder):
        add_modules(folder, encoder="")
        assert read(folder).labels == LABELS

    def test_sentence_transformers_of_old(self, folder, tmp_path):
        whole = tmp_path / "whole"
        whole.mkdir()
        folder.rename(whole / "0_Transformer")
        (whole / "config.json").write_text('{"__version__": "0.2.5.1"}')
        add_modules(whole, encoder="0_Transformer")
        (whole / "2_Dense").mkdir()
        for name in ("config.json", "model.safetensors"):
            (whole / "2_Dense" / name).write_bytes(b"{}")
        assert read(whole).labels == LABELS

    def test_a_table_of_static_vectors(self, folder):
        edit_config(folder, model_type="model2vec")
        assert "the method static_embedding" in refused(folder, "unsupported_modules")
        add_modules(folder, encoder="", first="StaticEmbedding")
        assert "modules.json is of a table" in refused(folder, "unsupported_modules")
        (folder / "config.json").unlink()
        assert "modules.json is of a table" in refused(folder, "unsupported_modules")

    def test_modules_that_lead_out(self, folder):
        add_modules(folder, encoder="../..")
        assert "'../..', where there is no config.json" in refused(folder, "missing_config")

    def test_one_checkpoint(self, folder, tmp_path):
        whole = tmp_path / "whole"
        whole.mkdir()
        folder.rename(whole / "checkpoint-500")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (whole / "checkpoint-500" / name).rename(whole / name)
        (whole / "checkpoint-500" / "optimizer.pt").write_bytes(b"\x80\x02}.")
        assert read(whole).notes == [
            "The model was read from checkpoint-500.",
            "The tokenizer was read from the folder above checkpoint-500.",
        ]

    def test_several_checkpoints(self, folder, tmp_path):
        whole = tmp_path / "whole"
        for steps in (500, 1000):
            copy(folder, whole / f"checkpoint-{steps}")
        message = refused(whole, "missing_config")
        assert "it has 2 (checkpoint-1000, checkpoint-500)" in message
        copy(folder, whole)
        assert read(whole).notes == []

    def test_attention_of_transformers_itself_is_no_code(self, folder):
        edit_config(folder, _attn_implementation="sdpa", _attn_implementation_autoset=True)
        assert read(folder).labels == LABELS

    def test_a_value_that_is_not_supported_is_named(self, folder):
        edit_config(folder, position_embedding_type="relative_key")
        message = refused(folder, "invalid_config")
        assert "position_embedding_type is 'relative_key'; supported is 'absolute'" in message

    def test_labels_that_are_numbers(self, folder):
        edit_config(folder, id2label={"0": 0, "1": 1})
        assert read(folder).labels == ["0", "1"]

    def test_labels_matter_where_they_are_needed(self, tmp_path):
        folder = tiny_model_folder(tmp_path / "model")
        edit_config(folder, id2label={"0": "a", "2": "a"})
        assert read(folder).labels is None


class TestArchives:
    def test_folders_parted_by_backslashes(self, api, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
            for path in folder.iterdir():
                info = zipfile.ZipInfo("x")
                info.filename = f"bert\\{path.name}"  # the constructor would write it with a slash on Windows
                info.create_system = 0
                file.writestr(info, path.read_bytes())
        assert api.upload_model(tmp_path / "model.zip").status_code == 201

    @pytest.mark.parametrize("depth", ["", "bert/", "./", "home/me/models/bert/"])
    def test_folders_above(self, folder, tmp_path, depth):
        with tarfile.open(tmp_path / "model.tar", "w") as file:
            for path in folder.iterdir():
                file.add(path, arcname=depth + path.name)
        assert unpacked(tmp_path / "model.tar", tmp_path / "read").labels == LABELS

    def test_what_macos_adds(self, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
            for path in folder.iterdir():
                file.write(path, f"bert/{path.name}")
                file.writestr(f"__MACOSX/bert/._{path.name}", b"\0\5\x16\7")
                file.writestr(f"__MACOSX/bert/{path.name}", b"\0\5\x16\7")
            file.writestr("bert/.DS_Store", b"\0\0\0\1Bud1")
        assert unpacked(tmp_path / "model.zip", tmp_path / "read").labels == LABELS

    def test_links_of_a_cache_are_refused_with_advice(self, tmp_path):
        member = tarfile.TarInfo("snapshots/main/config.json")
        member.type, member.linkname = tarfile.SYMTYPE, "../../blobs/0123"
        with tarfile.open(tmp_path / "model.tar", "w") as file:
            file.addfile(member, io.BytesIO())
        with pytest.raises(InvalidRequest, match="tar --dereference"):
            unpacked(tmp_path / "model.tar", tmp_path / "read")

    @pytest.mark.parametrize(
        ("start", "says"),
        [
            (b"7z\xbc\xaf\x27\x1c", "a .7z archive"),
            (b"\xfd7zXZ\0", "compressed with xz"),
            (b"BZh91AY&SY", "compressed with bzip2"),
            (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
            (b"\x10\0\0\0\0\0\0\0{", "a .safetensors file"),
        ],
    )
    def test_other_formats_are_named(self, tmp_path, start, says):
        (tmp_path / "model").write_bytes(start + bytes(600))
        with pytest.raises(InvalidRequest, match=f"The file is {says}. Pack the model's whole folder"):
            unpacked(tmp_path / "model", tmp_path / "read")

    @pytest.mark.parametrize("pack", [zipped, tarred, lambda folder: tarred(folder, compression="")])
    def test_every_format(self, folder, tmp_path, pack):
        assert unpacked(pack(folder), tmp_path / "read").labels == LABELS


def without_model_type(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key in ("model_type", "architectures"):
        del config[key]
    path.write_text(json.dumps(config))


def add_modules(folder: Path, *, encoder: str, first: str = "Transformer") -> None:
    kinds = {encoder: first, "1_Pooling": "Pooling"}
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 32}')


def copy(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
