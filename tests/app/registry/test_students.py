"""What this service makes can be taken away and brought back: students that no other library knows."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.domain.architectures import (
    ENCODERS,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderArchitecture,
    EncoderShape,
)
from app.domain.methods import layer_schedule
from app.domain.tasks import Head
from tests.app.registry.conftest import (
    accepted,
    downloaded,
    edit_config,
    edit_tensors,
    parameters_by_arithmetic,
    refused,
)
from tests.tiny import tiny_model_folder, zipped

LABELS = {"text_classification": ["no", "yes"], "token_classification": ["O", "B-X", "I-X"]}


def student_folder(path: Path, task: str, *, family: str = "bert", sharing=None, **structure) -> Path:
    """A student as the worker saves it."""
    from transformers import AutoConfig

    from worker.networks.loading import build_network, save_network

    tiny_model_folder(path, family=family)
    config = AutoConfig.from_pretrained(path)
    architecture = EncoderArchitecture(
        family=family,
        shape=EncoderShape(layers=2, hidden=32, heads=2, ffn=64, **structure),
        vocabulary=config.vocab_size,
        positions=64,
        token_types=2 if ENCODERS[family].embeddings.token_types else 0,
        schedule=None if sharing is None else layer_schedule(sharing, 2),
    )
    labels = LABELS.get(task, [])
    config.id2label = dict(enumerate(labels or ["LABEL_0"]))
    head = Head.of(task, labels=len(labels), vocabulary=config.vocab_size)
    save_network(build_network(config, architecture, head), path)
    return path


def bilstm_folder(path: Path, task: str) -> Path:
    from transformers import AutoConfig

    from worker.networks.loading import build_network, save_network

    tiny_model_folder(path)
    config = AutoConfig.from_pretrained(path)
    labels = LABELS[task]
    config.id2label = dict(enumerate(labels))
    shape = BiLstmShape(embedding=8, hidden=12, projection=16)
    architecture = BiLstmArchitecture(shape=shape, vocabulary=config.vocab_size, positions=64)
    head = Head.of(task, labels=len(labels), vocabulary=config.vocab_size)
    save_network(build_network(config, architecture, head), path)
    return path


def brought_back(api, folder: Path, tmp_path: Path) -> dict:
    """The model that a folder became, after its stored files became the same once more."""
    model = accepted(api, folder)
    again = accepted(api, downloaded(api, model, tmp_path / "again"))
    assert again["manifest"]["files"]["entries"] == model["manifest"]["files"]["entries"]
    assert again["manifest"]["architecture"] == model["manifest"]["architecture"]
    assert model["parameters"] == parameters_by_arithmetic(model)
    return model


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
class TestEncoders:
    @pytest.mark.parametrize(
        "structure", [{"rank": 4}, {"embedding": 8}, {"rank": 4, "embedding": 8}], ids=str
    )
    @pytest.mark.parametrize(
        "task", ["text_classification", "text_regression", "token_classification", "masked_language_modeling"]
    )
    def test_factors(self, api, tmp_path, family, structure, task):
        folder = student_folder(tmp_path / "model", task, family=family, **structure)
        model = brought_back(api, folder, tmp_path)
        assert model["task"] == task
        assert {key: value for key, value in model["shape"].items() if key in structure} == structure

    @pytest.mark.parametrize("sharing", ["shuffled", "repeated", "paired", "upper_half"])
    def test_layers_that_run_again(self, api, tmp_path, family, sharing):
        folder = student_folder(tmp_path / "model", "text_classification", family=family, sharing=sharing)
        model = brought_back(api, folder, tmp_path)
        assert model["manifest"]["architecture"]["schedule"] == [
            use.model_dump() for use in layer_schedule(sharing, 2)
        ]

    def test_what_is_stored_answers_as_before(self, api, tmp_path, family):
        import torch

        from app.domain.documents.manifest import ModelManifest
        from worker.networks.loading import load_network

        task = "text_classification"
        folder = student_folder(
            tmp_path / "model", task, family=family, sharing="paired", rank=4, embedding=8
        )
        model = accepted(api, folder)
        manifest = ModelManifest.model_validate(model["manifest"])
        stored = downloaded(api, model, tmp_path / "stored")
        ids = torch.tensor([[2, 7, 8, 3]])
        ours, theirs = (
            load_network(path, manifest, task=task, labels=LABELS[task])(input_ids=ids).logits
            for path in (stored, folder)
        )
        assert torch.equal(ours, theirs)


class TestBiLstm:
    @pytest.mark.parametrize("task", LABELS)
    def test_every_head(self, api, tmp_path, task):
        model = brought_back(api, bilstm_folder(tmp_path / "model", task), tmp_path)
        assert (model["architecture"], model["task"], model["labels"]) == ("bilstm", task, LABELS[task])
        assert model["shape"] == {"embedding": 8, "hidden": 12, "projection": 16}
        assert model["manifest"]["max_length"] == 64

    def test_nobody_says_what_it_classifies(self, api, tmp_path):
        folder = bilstm_folder(tmp_path / "model", "token_classification")
        edit_config(folder, architectures=None)
        assert "ForTokenClassification" in refused(api, zipped(folder), "unsupported_head")

    @pytest.mark.parametrize(
        "changes",
        [{"hidden_size": 16}, {"embedding_size": 16}, {"projection_size": 8}, {"vocab_size": 999}],
        ids=str,
    )
    def test_config_of_another(self, api, tmp_path, changes):
        folder = bilstm_folder(tmp_path / "model", "text_classification")
        edit_config(folder, **changes)
        refused(api, zipped(folder), "weights_config_mismatch")

    @pytest.mark.parametrize(
        "changes", [{"hidden_size": 10**6}, {"dropout": 1.5}, {"projection_size": None}], ids=str
    )
    def test_values_out_of_bounds(self, api, tmp_path, changes):
        folder = bilstm_folder(tmp_path / "model", "text_classification")
        edit_config(folder, **changes)
        refused(api, zipped(folder), "invalid_config")


class TestRefused:
    @pytest.mark.parametrize(
        "structure",
        [
            {"rank": 0},
            {"rank": "4"},
            {"embedding": 32},
            {"schedule": []},
            {"schedule": [{"layer": 0}]},
            {"schedule": [{"layer": 0}, {"layer": 1}, {"layer": 2}]},
            {"schedule": [{"layer": 0}, {"layer": 1}] * 100},
            {"schedule": [{"layer": 0, "code": "x"}]},
            {"another": 1},
            [],
        ],
        ids=lambda structure: str(structure)[:60],
    )
    def test_structure(self, api, tmp_path, structure):
        folder = student_folder(tmp_path / "model", "text_classification", rank=4)
        edit_config(folder, squeeze=structure)
        refused(api, zipped(folder), "invalid_config")

    @pytest.mark.parametrize("structure", [None, {"rank": 5}, {"rank": 4, "embedding": 8}], ids=str)
    def test_structure_of_another_student(self, api, tmp_path, structure):
        folder = student_folder(tmp_path / "model", "text_classification", rank=4)
        edit_config(folder, squeeze=structure)
        assert "the same model" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_a_tensor_more(self, api, tmp_path):
        folder = student_folder(tmp_path / "model", "text_classification", rank=4)
        edit_tensors(folder, lambda tensors: tensors.update({"another": np.zeros(3, np.float32)}))
        assert "another" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_no_class_is_named_that_would_misread_it(self, api, tmp_path):
        stored = downloaded(
            api,
            accepted(api, student_folder(tmp_path / "model", "text_classification", rank=4)),
            tmp_path / "s",
        )
        assert "architectures" not in json.loads((stored / "config.json").read_text())
