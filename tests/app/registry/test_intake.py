"""Whatever is wrong with an upload: a 4xx that says what to do, and nothing left behind."""

import gc
import json
import pickle
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app.domain.errors import InvalidRequest
from app.intake.models import stored_weights
from app.intake.models.model_config import refuse_code
from app.intake.models.stored_weights import StoredWeights
from tests.app.conftest import make_settings, run_api
from tests.app.registry.archives import write_zip
from tests.app.registry.conftest import edit_config, edit_tensors, refused
from tests.tiny import tiny_tokenizer, zipped


def write_header(path: Path, names: list[str], shape: list[int]) -> None:
    """Weights of no bytes."""
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name in names})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())


def cost(action: Callable[[], object], *, repeats: int = 3) -> float:
    """CPU seconds, at best, without garbage collection: uploads are read without it too."""
    spent = []
    gc.disable()
    try:
        for _ in range(repeats):
            before = time.process_time()
            action()
            spent.append(time.process_time() - before)
    finally:
        gc.enable()
    return min(spent)


class TestWeights:
    def test_pickled(self, api, folder):
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))
        assert "safe_serialization=True" in refused(api, zipped(folder), "pickled_weights")

    def test_pickled_under_another_name(self, api, folder):
        (folder / "model.safetensors").write_bytes(pickle.dumps({"weight": [1] * 100}))
        refused(api, zipped(folder), "pickled_weights")

    def test_pickled_in_a_zip_under_another_name(self, api, folder):
        write_zip(folder / "model.safetensors", {"archive/data.pkl": pickle.dumps({})})
        refused(api, zipped(folder), "pickled_weights")

    def test_pickled_besides_safetensors_is_left_behind(self, api, folder):
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))
        assert api.upload_model(zipped(folder)).status_code == 201
        assert not any("pytorch" in key for key in api.stored())

    def test_missing(self, api, folder):
        (folder / "model.safetensors").unlink()
        assert "save_pretrained" in refused(api, zipped(folder), "missing_weights")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0" * 100,
            struct.pack("<Q", 2**40) + b"{}",
            struct.pack("<Q", 2) + b"{]",
            struct.pack("<Q", 56)
            + b'{"a.weight":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'[:56]
            + b"1234",
        ],
        ids=["empty", "zeros", "endless header", "bad header", "cut header"],
    )
    def test_not_safetensors(self, api, folder, content):
        (folder / "model.safetensors").write_bytes(content)
        refused(api, zipped(folder), "invalid_weights")

    def test_a_header_whose_length_reads_like_a_pickle(self, api, folder):
        path = folder / "model.safetensors"
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        path.write_bytes(struct.pack("<Q", 0x10280) + content[8:end].ljust(0x10280) + content[end:])
        assert api.upload_model(zipped(folder)).status_code == 201

    def test_truncated(self, api, folder):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1000])
        refused(api, zipped(folder), "invalid_weights")

    def test_missing_tensor(self, api, folder):
        tensors = load_file(folder / "model.safetensors")
        del tensors["bert.encoder.layer.1.attention.self.query.weight"]
        save_file(tensors, folder / "model.safetensors")
        assert "layer.1.attention.self.query" in refused(api, zipped(folder), "weights_config_mismatch")

    @pytest.mark.parametrize("changes", [{"hidden_size": 64}, {"vocab_size": 999}, {"num_hidden_layers": 3}])
    def test_config_of_a_larger_model(self, api, folder, changes):
        edit_config(folder, **changes)
        assert "the same model" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_config_of_a_shallower_model(self, api, folder):
        edit_config(folder, num_hidden_layers=1)
        assert "does not imply" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_labels_that_the_classifier_does_not_have(self, api, folder):
        edit_config(folder, id2label={"0": "a", "1": "b", "2": "c"})
        assert "3 labels" in refused(api, zipped(folder), "weights_config_mismatch")

    @pytest.mark.parametrize(
        ("names", "shape", "message"),
        [
            (["weight" * 10_000 + ".x"], [0], "longer than 256 characters"),
            ([f"t{i}" for i in range(10_001)], [0], "10,001 tensors"),
            ([f"t{i}" for i in range(100_000)], [0], "header of"),
            (["a"], [0] * 100_000, "8 dimensions"),
        ],
        ids=["name", "tensors", "header", "shape"],
    )
    def test_a_header_that_no_model_has(self, api, folder, names, shape, message):
        write_header(folder / "model.safetensors", names, shape)
        refusal = refused(api, zipped(folder), "invalid_weights")
        assert message in refusal
        assert len(refusal) < 500

    def test_names_are_checked_in_linear_time(self, tmp_path, monkeypatch):
        """What a backtracking expression takes over a name grows with its square."""
        monkeypatch.setattr(stored_weights, "MAX_NAME", 10**6)

        def read(repeats):
            write_header(tmp_path / "model.safetensors", ["weight" * repeats + ".x"], [0])
            return cost(lambda: StoredWeights(tmp_path / "model.safetensors"))

        assert read(20_000) < 8 * read(5_000) + 0.01

    @pytest.mark.parametrize(("tensors", "message"), [(200_000, "header of"), (60_000, "60,000 tensors")])
    def test_a_long_header_costs_no_more_than_to_parse_what_may_be_long(self, tmp_path, tensors, message):
        path = tmp_path / "model.safetensors"
        entry = b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
        entries = [entry % number for number in range(tensors)]
        header = b"{" + b",".join(entries) + b"}"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        longest = b"{" + b",".join(entries[:60_000]) + b"}"

        def read():
            with pytest.raises(InvalidRequest, match=message):
                StoredWeights(path)

        assert cost(read) < 2 * cost(lambda: json.loads(longest))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("name", ["bert.encoder.layer.1.output.dense.weight", "classifier.bias"])
    def test_values_that_are_no_numbers(self, api, folder, name, value):
        edit_tensors(folder, lambda tensors: tensors[name].reshape(-1).__setitem__(-1, value))
        message = refused(api, zipped(folder), "invalid_weights")
        assert f"infinite or NaN values in {name}" in message

    @pytest.mark.parametrize(
        ("dtype", "kind"), [("<f2", "F16"), ("<f4", "F32"), ("<f8", "F64"), ("<u2", "BF16")]
    )
    def test_every_type_of_numbers(self, tmp_path, dtype, kind):
        """A bfloat16 is the upper half of a float32."""

        def write(values):
            content = np.array(values, "<f4" if kind == "BF16" else dtype)
            if kind == "BF16":
                content = (content.view("<u4") >> 16).astype("<u2")
            entry = {"dtype": kind, "shape": [len(values)], "data_offsets": [0, content.nbytes]}
            header = json.dumps({"a.weight": entry}).encode()
            path = tmp_path / "model.safetensors"
            path.write_bytes(struct.pack("<Q", len(header)) + header + content.tobytes())
            return StoredWeights(path)

        write([0.0, -1.5, 65_000.0, -1e-7]).require_finite()
        for bad in (np.nan, np.inf, -np.inf):
            with pytest.raises(InvalidRequest):
                write([1.0, bad]).require_finite()

    def test_quantised(self, api, folder):
        tensors = load_file(folder / "model.safetensors")
        name = "bert.encoder.layer.0.output.dense.weight"
        tensors[name] = tensors[name].astype("int8")
        save_file(tensors, folder / "model.safetensors")
        assert "floating-point" in refused(api, zipped(folder), "invalid_weights")


class TestConfig:
    def test_missing(self, api, folder):
        (folder / "config.json").unlink()
        assert "save_pretrained" in refused(api, zipped(folder), "missing_config")

    @pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"model_type": "\xff'])
    def test_not_json(self, api, folder, text):
        (folder / "config.json").write_bytes(text.encode("latin-1"))
        refused(api, zipped(folder), "invalid_config")

    @pytest.mark.parametrize(
        "changes",
        [
            {"auto_map": {"AutoModel": "evil--modeling.Model"}},
            {"trust_remote_code": True},
            {"_attn_implementation": "attacker/kernel"},
            {"_attn_implementation_internal": "attacker/kernel"},
            {"vision_config": {"nested": [{"auto_map": {}}]}},
        ],
    )
    def test_remote_code(self, api, folder, changes):
        edit_config(folder, **changes)
        assert "custom code" in refused(api, zipped(folder), "remote_code")

    def test_remote_code_of_the_tokenizer(self, api, folder):
        (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.T", null]}}')
        refused(api, zipped(folder), "remote_code")

    @pytest.mark.parametrize("model_type", ["gpt2", 7, ["bert"]])
    def test_unknown_architecture(self, api, folder, model_type):
        edit_config(folder, model_type=model_type)
        assert "distilbert" in refused(api, zipped(folder), "unknown_architecture")

    @pytest.mark.parametrize(
        "changes",
        [
            {"hidden_size": "32"},
            {"hidden_size": -1},
            {"hidden_size": 10**12},
            {"num_attention_heads": 5},
            {"num_hidden_layers": 1.5},
            {"hidden_act": "exec"},
            {"layer_norm_eps": float("nan")},
            {"pad_token_id": 10_000},
            {"position_embedding_type": "relative_key"},
            {"is_decoder": True},
            {"id2label": {"0": "a", "2": "b"}},
            {"id2label": {"0": "a", "1": "a"}},
            {"id2label": {"0": "a", "1": "a "}},
            {"id2label": {"0": "a", "1": "b\0"}},
            {"id2label": ["a", "b"]},
            {"id2label": {"0": "a", "1": "b" * 201}},
            {"model_type": "roberta", "pad_token_id": 60},
        ],
        ids=lambda changes: str(changes)[:60],
    )
    def test_values_out_of_bounds(self, api, folder, changes):
        edit_config(folder, **changes)
        refused(api, zipped(folder), "invalid_config")

    def test_quantised(self, api, folder):
        edit_config(folder, quantization_config={"quant_method": "bitsandbytes"})
        refused(api, zipped(folder), "quantized_weights")

    def test_the_search_for_code_takes_no_longer_for_deep_values(self):
        def search(depth):
            value = [{"key": 0}] * 20_000
            for _ in range(depth):
                value = {"key": value}
            return cost(lambda: refuse_code(value, "config.json"))

        assert search(400) < 3 * search(1) + 0.01


class TestTokenizer:
    def test_missing(self, api, folder):
        (folder / "tokenizer.json").unlink()
        assert "AutoTokenizer" in refused(api, zipped(folder), "missing_tokenizer")

    @pytest.mark.parametrize("text", ["", "{}", '{"model": {"type": "WordPiece"}}'])
    def test_unreadable(self, api, folder, text):
        (folder / "tokenizer.json").write_text(text)
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_larger_than_the_embeddings(self, api, folder):
        tokenizer = type(tiny_tokenizer()).from_str(tiny_tokenizer().to_str())
        tokenizer.add_tokens(["another"])
        tokenizer.save(str(folder / "tokenizer.json"))
        assert "trained with" in refused(api, zipped(folder), "tokenizer_config_mismatch")

    def test_word_list_without_special_tokens(self, api, folder):
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
        (folder / "vocab.txt").write_text("a\nb\n")
        assert "[CLS]" in refused(api, zipped(folder), "invalid_tokenizer")


class TestRequest:
    def test_name_and_file_are_required(self, api, folder):
        for field, other in (("file", "name"), ("name", "file")):
            response = api.http.post("/v1/models", files={field: b"x"})
            assert response.status_code == 422
            assert f"#/{other}" in {fault["pointer"] for fault in response.json()["errors"]}

    @pytest.mark.parametrize("name", ["revision", "fiel", "Name"])
    def test_a_field_that_nobody_reads(self, api, folder, name):
        with zipped(folder).open("rb") as file:
            response = api.http.post("/v1/models", files={"file": file}, data={"name": "tiny", name: "x"})
        assert response.json()["type"] == "urn:squeeze:problem:unknown_field"
        assert f"Unknown field {name!r}; known fields are file, name, labels." in response.json()["detail"]
        assert api.stored() == []

    def test_a_name_that_postgres_would_refuse(self, api, folder):
        assert api.upload_model(zipped(folder), name="a\0b").status_code == 422
        assert api.stored() == []

    def test_a_body_longer_than_allowed(self, tmp_path, postgres_url, folder):
        settings = make_settings(tmp_path, database_url=postgres_url, max_upload_bytes=10_000)
        for api in run_api(settings):
            refused(api, zipped(folder), "request_entity_too_large", status=413)

    def test_media_types_have_no_case(self, api):
        content_type = {"content-type": "Multipart/Form-Data; boundary=x"}
        response = api.http.post("/v1/models", content=b"--x--\r\n", headers=content_type)
        assert {fault["pointer"] for fault in response.json()["errors"]} == {"#/file", "#/name"}

    def test_neither_json_nor_form(self, api):
        response = api.http.post("/v1/models", content=b"hello")
        assert response.status_code == 415
        assert "multipart/form-data or application/json" in response.json()["detail"]


def test_a_failing_commit_leaves_no_files(api, folder):
    """The row is refused after the files were stored."""
    from sqlalchemy import event

    def refuse(_connection):
        raise RuntimeError("disk full")

    event.listen(api.database.engine, "commit", refuse)
    response = api.upload_model(zipped(folder))
    event.remove(api.database.engine, "commit", refuse)
    assert response.status_code == 500
    assert "disk full" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert api.stored() == []
    assert api.rows()["models"] == 0
