"""Every head on every kind of encoder: what a model is for is read from its tensors, and stored."""

import json

import numpy as np
import pytest

from app.domain.architectures import ENCODERS
from tests.app.registry.conftest import (
    accepted,
    downloaded,
    edit_config,
    edit_tensors,
    parameters_by_arithmetic,
    refused,
)
from tests.families import layout_of, one_for_each
from tests.tiny import LABELS, tiny_model_folder, zipped

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
FAMILIES = one_for_each(layout_of)
"""One of those that differ in their names alone."""
TASKS = {
    "text_classification": ("AutoModelForSequenceClassification", {"id2label": dict(enumerate(LABELS))}),
    "multi_label_classification": (
        "AutoModelForSequenceClassification",
        {"id2label": dict(enumerate(LABELS)), "problem_type": "multi_label_classification"},
    ),
    "text_regression": ("AutoModelForSequenceClassification", {"num_labels": 1}),
    "token_classification": ("AutoModelForTokenClassification", {"id2label": dict(enumerate(TAGS))}),
    "masked_language_modeling": ("AutoModelForMaskedLM", {}),
}


def model_folder(path, task, *, family="bert", **settings):
    """A tiny network with a head, as transformers saves it."""
    import transformers

    tiny_model_folder(path, family=family)
    class_name, head = TASKS[task]
    config = transformers.AutoConfig.from_pretrained(path, **head, **settings)
    getattr(transformers, class_name).from_config(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", TASKS)
class TestEveryHead:
    def test_is_known_by_its_tensors(self, api, tmp_path, family, task):
        folder = model_folder(tmp_path / "model", task, family=family)
        edit_config(folder, architectures=None)
        heads = ENCODERS[family].heads
        if heads["text"] == heads["token"] and task != "masked_language_modeling":
            message = refused(api, zipped(folder), "unsupported_head")
            assert "ForSequenceClassification or ForTokenClassification or ForQuestionAnswering" in message
            return
        model = accepted(api, folder)
        assert (model["architecture"], model["task"]) == (family, task)
        labels = {"token_classification": TAGS, "text_regression": None, "masked_language_modeling": None}
        assert model["labels"] == labels.get(task, LABELS)
        assert model["parameters"] == parameters_by_arithmetic(model)

    def test_what_is_stored_is_a_folder_of_transformers_and_can_be_uploaded_again(
        self, api, tmp_path, family, task
    ):
        import torch
        import transformers

        folder = model_folder(tmp_path / "model", task, family=family)
        class_ = getattr(transformers, TASKS[task][0])
        model = accepted(api, folder)
        stored = downloaded(api, model, tmp_path / "stored")
        again = accepted(api, stored)
        assert again["manifest"]["files"]["entries"] == model["manifest"]["files"]["entries"]
        assert (again["task"], again["labels"]) == (model["task"], model["labels"])
        ids = torch.tensor([[2, 7, 8, 3]])
        ours, theirs = (
            class_.from_pretrained(path).eval()(input_ids=ids).logits for path in (stored, folder)
        )
        assert torch.equal(ours, theirs)
        assert json.loads((stored / "config.json").read_text())["architectures"] == [
            class_.from_pretrained(stored).__class__.__name__
        ]


class TestText:
    def test_one_output_is_a_number(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_regression")
        edit_config(folder, problem_type="regression")
        model = accepted(api, folder)
        assert (model["task"], model["labels"]) == ("text_regression", None)

    def test_several_numbers(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        edit_config(folder, problem_type="regression")
        assert "without the head" in refused(api, zipped(folder), "unsupported_head")

    def test_labels_decided_one_by_one(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        edit_config(folder, problem_type="multi_label_classification")
        model = accepted(api, folder)
        assert (model["task"], model["labels"]) == ("multi_label_classification", LABELS)
        stored = downloaded(api, model, tmp_path / "stored")
        assert json.loads((stored / "config.json").read_text())["problem_type"] == model["task"]

    @pytest.mark.parametrize(
        ("task", "problem_type"),
        [("text_regression", "ranking"), ("text_classification", "ranking")],
    )
    def test_another_problem(self, api, tmp_path, task, problem_type):
        folder = model_folder(tmp_path / "model", task)
        edit_config(folder, problem_type=problem_type)
        assert "two outputs or more" in refused(api, zipped(folder), "unsupported_head")

    @pytest.mark.parametrize("family", FAMILIES)
    def test_multiple_choice(self, api, tmp_path, family):
        import transformers

        folder = tiny_model_folder(tmp_path / "model", family=family)
        config = transformers.AutoConfig.from_pretrained(folder)
        transformers.AutoModelForMultipleChoice.from_config(config).save_pretrained(folder)
        assert "ForMultipleChoice" in refused(api, zipped(folder), "unsupported_head")

    def test_no_output(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        nothing = {"classifier.weight": np.zeros((0, 32), "f4"), "classifier.bias": np.zeros(0, "f4")}
        edit_tensors(folder, lambda tensors: tensors.update(nothing))
        assert "0 outputs" in refused(api, zipped(folder), "unsupported_head")

    def test_more_outputs_than_can_be_named(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "text_classification")
        many = {"classifier.weight": np.zeros((5000, 32), "f4"), "classifier.bias": np.zeros(5000, "f4")}
        edit_tensors(folder, lambda tensors: tensors.update(many))
        edit_config(folder, id2label=None)
        assert "5,000 outputs" in refused(api, zipped(folder), "unsupported_head")


class TestToken:
    def test_a_pooler_without_use(self, api, tmp_path):
        """Early transformers kept one; the class that wrote the file alone says that it is of no use."""
        folder = model_folder(tmp_path / "model", "token_classification")
        pooler = {"weight": np.zeros((32, 32), np.float32), "bias": np.zeros(32, np.float32)}
        edit_tensors(folder, lambda t: t.update({f"bert.pooler.dense.{k}": v for k, v in pooler.items()}))
        model = accepted(api, folder)
        assert model["task"] == "token_classification"
        assert model["parameters"] == parameters_by_arithmetic(model)
        assert accepted(api, downloaded(api, model, tmp_path / "again"))["task"] == "token_classification"

    @pytest.mark.parametrize(
        "tags",
        [
            None,
            ["NOUN", "VERB", "ADJ", "DET", "X"],
            ["O", "B-PER", "I-PER", "B-", "I-LOC"],
            ["O", "B-PER", "I-PER", "X", "[CLS]"],
            ["B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG"],
        ],
        ids=str,
    )
    def test_tags_that_are_of_no_scheme(self, api, tmp_path, tags):
        folder = model_folder(tmp_path / "model", "token_classification")
        edit_config(folder, id2label=tags and dict(enumerate(tags)))
        message = refused(api, zipped(folder), "unsupported_tags")
        assert "id2label" in message
        assert "B-PER" in message

    @pytest.mark.parametrize(
        "tags",
        [
            ["B-LOC", "I-LOC", "I-PER", "I-ORG", "O"],  # of CoNLL-2003, where no name follows another
            ["O", "B-PER", "E-PER", "S-PER", "I-PER"],
            ["PER", "LOC", "O", "ORG", "MISC"],
        ],
        ids=str,
    )
    def test_tags_in_any_order_and_scheme(self, api, tmp_path, tags):
        folder = model_folder(tmp_path / "model", "token_classification")
        edit_config(folder, id2label=dict(enumerate(tags)))
        assert accepted(api, folder)["labels"] == tags

    def test_fewer_tags_than_outputs(self, api, tmp_path):
        folder = model_folder(tmp_path / "model", "token_classification")
        edit_config(folder, id2label={"0": "O", "1": "B-PER", "2": "I-PER"})
        assert "5 outputs" in refused(api, zipped(folder), "weights_config_mismatch")


@pytest.mark.parametrize("family", FAMILIES)
class TestWord:
    @staticmethod
    def store_copies(folder, family, *, change: float) -> None:
        """The output matrix beside the word table, as files of earlier transformers have it."""
        head = ENCODERS[family].heads["word"]

        def copy(tensors):
            words = f"{ENCODERS[family].embeddings.words}.weight"
            tensors[f"{head.output}.weight"] = tensors[words] + np.float32(change)
            tensors[f"{head.output}.bias"] = tensors[head.bias].copy()

        edit_tensors(folder, copy)

    def test_a_copy_of_the_word_table(self, api, tmp_path, family):
        folder = model_folder(tmp_path / "model", "masked_language_modeling", family=family)
        self.store_copies(folder, family, change=0)
        model = accepted(api, folder)
        assert model["parameters"] == parameters_by_arithmetic(model)

    def test_an_output_of_its_own(self, api, tmp_path, family):
        folder = model_folder(tmp_path / "model", "masked_language_modeling", family=family)
        self.store_copies(folder, family, change=0.01)
        assert "tied" in refused(api, zipped(folder), "untied_weights")

    def test_a_head_without_its_norm(self, api, tmp_path, family):
        folder = model_folder(tmp_path / "model", "masked_language_modeling", family=family)

        def drop(tensors):
            for name in list(tensors):
                if name.startswith(f"{ENCODERS[family].heads['word'].norm}."):
                    del tensors[name]

        edit_tensors(folder, drop)
        assert "lacks" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_a_tokenizer_that_masks_nothing(self, api, tmp_path, family):
        folder = model_folder(tmp_path / "model", "masked_language_modeling", family=family)
        path = folder / "tokenizer.json"
        path.write_text(path.read_text().replace("[MASK]", "[OTHER]"))
        assert "[MASK]" in refused(api, zipped(folder), "invalid_tokenizer")


def test_a_pretraining_head_counts_the_words_alone(api, tmp_path):
    """BERT's first checkpoints also say whether two sentences follow one another."""
    import transformers

    folder = tiny_model_folder(tmp_path / "model")
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.BertForPreTraining(config).save_pretrained(folder)
    model = accepted(api, folder)
    assert model["task"] == "masked_language_modeling"
    assert model["parameters"] == parameters_by_arithmetic(model)


def test_a_head_that_tells_replaced_tokens_is_left_out(api, tmp_path):
    """ELECTRA's discriminators come with it: they are encoders to be taught a task."""
    import transformers

    folder = tiny_model_folder(tmp_path / "model", family="electra", embedding=8)
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.ElectraForPreTraining(config).save_pretrained(folder)
    model = accepted(api, folder)
    assert (model["architecture"], model["task"]) == ("electra", None)
    assert model["shape"]["embedding"] == 8
