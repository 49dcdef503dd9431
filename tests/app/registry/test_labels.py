"""Names that come with an upload, and what one output goes through."""

import json

import pytest

from tests.app.registry.conftest import accepted, downloaded, edit_config, refused
from tests.app.registry.test_heads import model_folder
from tests.tiny import LABELS, zipped

CROSS_ENCODER = "sentence_transformers"
SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"


def posted(api, folder, labels):
    with zipped(folder).open("rb") as file:
        return api.http.post(
            "/v1/models", files={"file": ("model.zip", file)}, data={"name": "named", "labels": labels}
        )


class TestNames:
    @pytest.mark.parametrize(
        "labels", ['["bad", "good"]', '{"1": "good", "0": "bad"}', '{"LABEL_0": "bad", "LABEL_1": "good"}']
    )
    def test_of_outputs_that_have_none(self, api, tmp_path, labels):
        folder = model_folder(tmp_path / "model", "text_classification")
        edit_config(folder, id2label=None, label2id=None)
        model = posted(api, folder, labels).json()
        assert model["labels"] == ["bad", "good"]
        assert "0 is bad, 1 is good" in model["manifest"]["notes"][-1]
        config = json.loads((downloaded(api, model, tmp_path / "stored") / "config.json").read_text())
        assert config["id2label"] == {"0": "bad", "1": "good"}

    def test_of_tags_in_a_scheme(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "token_classification")
        edit_config(folder, id2label={str(i): f"LABEL_{i}" for i in range(5)})
        assert "'labels'" in refused(api, zipped(folder), "unsupported_tags")
        tags = ["S-PER", "E-PER", "O", "I-PER", "B-PER"]
        assert posted(api, folder, json.dumps(tags)).json()["labels"] == tags

    def test_faulty_ones_of_the_config_do_not_matter_then(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        edit_config(folder, id2label={"1": "good", "7": "bad"})
        assert posted(api, folder, '["bad", "good"]').status_code == 201

    def test_none_are_missed_aloud(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        edit_config(folder, id2label=None, label2id=None)
        assert "'labels'" in accepted(api, folder)["manifest"]["notes"][-1]

    @pytest.mark.parametrize(
        ("task", "labels", "code"),
        [
            ("text_classification", '["one"]', "invalid_labels"),
            ("text_regression", '["one"]', "labels_not_allowed"),
            ("masked_language_modeling", '["one"]', "labels_not_allowed"),
            ("text_classification", '["one", "one"]', None),
            ("text_classification", '{"0": "one", "2": "two"}', None),
            ("text_classification", "one, two", None),
        ],
    )
    def test_that_do_not_fit(self, api, tmp_path, task, labels, code):
        response = posted(api, model_folder(tmp_path / "model", task), labels)
        assert response.status_code == 422
        [fault] = response.json()["errors"]
        assert fault["pointer"] == "#/labels"
        assert code is None or response.json()["type"].endswith(code)


class TestActivation:
    @pytest.mark.parametrize(
        ("changes", "activation"),
        [
            ({}, "sigmoid"),
            ({"problem_type": "regression"}, None),
            ({"problem_type": "multi_label_classification"}, "sigmoid"),
            ({"problem_type": "single_label_classification"}, "sigmoid"),
            ({CROSS_ENCODER: {"activation_fn": SIGMOID}, "problem_type": "regression"}, "sigmoid"),
            ({CROSS_ENCODER: {"activation_fn": IDENTITY}}, None),
            ({"sbert_ce_default_activation_function": IDENTITY}, None),
        ],
        ids=str,
    )
    def test_of_one_output(self, api, tmp_path, changes, activation):
        folder = model_folder(tmp_path / "model", "text_regression")
        edit_config(folder, **changes)
        model = accepted(api, folder)
        assert (model["task"], model["manifest"]["activation"]) == ("text_regression", activation)
        assert bool(model["manifest"]["notes"]) == (activation is not None and CROSS_ENCODER not in changes)
        again = accepted(api, downloaded(api, model, tmp_path / "stored"))
        assert (again["manifest"]["activation"], again["manifest"]["notes"]) == (activation, [])

    def test_of_another_kind(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_regression")
        edit_config(folder, **{CROSS_ENCODER: {"activation_fn": "torch.nn.modules.activation.Tanh"}})
        assert "Tanh" in refused(api, zipped(folder), "unsupported_head")

    def test_of_several_outputs(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        edit_config(folder, **{CROSS_ENCODER: {"activation_fn": SIGMOID}})
        model = accepted(api, folder)
        assert (model["task"], model["labels"]) == ("multi_label_classification", LABELS)
