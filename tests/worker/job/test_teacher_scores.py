"""Jobs whose data say what a teacher says: with a network to inherit from, or with none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from app.domain.documents.events import Message
from app.domain.methods import TEACHER
from app.domain.tasks import Task
from tests.tiny import (
    LABELS,
    tiny_examples,
    tiny_model_folder,
    tiny_scored_examples,
    tiny_tagged_examples,
    tiny_translations,
)
from tests.worker.requests import Event, Shelf, fetch_model, run_here
from worker.evaluation.evaluate import predict_logits
from worker.networks.loading import load_network, load_teacher
from worker.runner.protocol import DATASET, DatasetRef, Failed, JobRequest, ModelRef, Succeeded, input_folder
from worker.tasks.reading import load_task_data

BILSTM = {"shape": {"embedding": 16, "hidden": 16, "projection": 16}, "vocabulary_size": 400}
SMALL = {"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}}
TRANSLATOR = {"encoder_layers": 1, "decoder_layers": 1, "hidden": 32, "heads": 2, "ffn": 48}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("scores"))


def add(
    shelf: Shelf, task: Task, folder: Path, *, labels: list[str] | None = None, **splits: list[Row]
) -> DatasetRef:
    paths = {}
    for split, rows in splits.items():
        paths[split] = folder / f"{split}.jsonl"
        paths[split].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return shelf.add_files(paths, task=task, labels=labels)


def opposite(row: Row) -> Row:
    """What a teacher says that takes good for bad."""
    label = LABELS[1 - LABELS.index(row["label"])]
    return row | {"teacher_scores": {"label": label, "score": 0.95}}


def without(key: str, rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != key} for row in rows]


def succeeded(request: JobRequest, folder: Path) -> tuple[Succeeded, list[str]]:
    outcome, events = run_here(request, folder)
    assert isinstance(outcome, Succeeded), outcome
    return outcome, messages(events)


def messages(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


@pytest.fixture(scope="module")
def foreign(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> DatasetRef:
    """Every label is right, and every score says the opposite; dev and unlabeled have scores alone."""
    return add_foreign(shelf, tmp_path_factory.mktemp("foreign"))


def add_foreign(shelf: Shelf, folder: Path, *, unscored: int = 0) -> DatasetRef:
    unlabeled = tiny_examples(80, seed=3)
    scored = [opposite(row) for row in unlabeled[unscored:]]
    return add(
        shelf,
        "text_classification",
        folder,
        train=[opposite(row) for row in tiny_examples(200)],
        dev=without("label", [opposite(row) for row in tiny_examples(64, seed=1)]),
        test=[opposite(row) for row in tiny_examples(64, seed=2)],
        unlabeled=without("label", unlabeled[:unscored] + scored),
    )


@pytest.fixture(scope="module")
def encoder(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """Without a head."""
    return shelf.add_model(tiny_model_folder(tmp_path_factory.mktemp("encoder") / "model"))


@pytest.fixture(scope="module")
def network(shelf: Shelf, encoder: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """It has learnt the labels."""
    folder = tmp_path_factory.mktemp("network")
    dataset = add(
        shelf, "text_classification", folder, train=tiny_examples(200), dev=tiny_examples(64, seed=1)
    )
    training = {"epochs": 12, "learning_rate": 5e-3}
    request = shelf.request(encoder, dataset, "fine_tuning", training=training, exports=["fp32"])
    outcome, _ = succeeded(request, folder / "work")
    assert outcome.report.student.quality["dev"]["accuracy"] > 0.9
    return ModelRef(id=request.student_id, manifest=outcome.manifest)


Squeezed = tuple[JobRequest, Succeeded, list[str], Path]


@pytest.fixture(scope="module")
def squeezed(
    shelf: Shelf, network: ModelRef, foreign: DatasetRef, tmp_path_factory: pytest.TempPathFactory
) -> Squeezed:
    """Out of a network that says the opposite of the scores."""
    method = {"name": "weight_squeezing", "distillation": {"logits_weight": 1}}
    training = {"epochs": 14, "learning_rate": 5e-3}
    request = shelf.request(network, foreign, method, target=SMALL, training=training, exports=["fp32"])
    folder = tmp_path_factory.mktemp("squeezed") / "work"
    return request, *succeeded(request, folder), folder


class TestForeignScores:
    def test_are_learnt_and_not_what_the_network_says(self, shelf, network, squeezed, tmp_path):
        request, outcome, _, workdir = squeezed
        report = outcome.report
        assert report.student.agreement["dev"]["accuracy"] > 0.8
        assert report.student.quality["test"]["accuracy"] < 0.2  # the labels are right, the teacher is not
        manifest = outcome.manifest
        student = load_network(
            fetch_model(shelf, manifest, tmp_path), manifest, task=manifest.task, labels=LABELS
        )
        agreement = same_choices(request, workdir, student)
        assert agreement < 0.3

    def test_dev_without_labels_has_agreement_in_place_of_quality(self, squeezed):
        _, outcome, _, _ = squeezed
        report = outcome.report
        assert report.student.quality.keys() == report.teacher.quality.keys() == {"test"}
        assert report.student.agreement.keys() == report.teacher.agreement.keys() == {"dev", "test"}
        assert outcome.metrics["agreement_with_teacher"] == report.student.agreement
        assert report.ratios.quality.keys() == {"test"}
        assert report.teacher_scores.weights == {"teacher": 1}
        assert report.teacher_scores.rows == {"train": 200, "dev": 64, "unlabeled": 80}
        assert report.teacher_scores.quality["test"]["accuracy"] == 0
        assert "dev" not in report.teacher_scores.quality

    def test_are_named(self, squeezed):
        _, _, told, _ = squeezed
        [what] = [text for text in told if "teacher_scores" in text]
        assert what.endswith("the teacher_scores of teacher (100%): 200 rows of train, 80 rows of unlabeled.")

    def test_a_network_that_knows_nothing_is_not_asked_of_other_rows(self, shelf, tmp_path):
        untrained = shelf.add_model(tiny_model_folder(tmp_path / "model", labels=LABELS))
        dataset = add_foreign(shelf, tmp_path, unscored=20)
        method = {"name": "weight_copy", "distillation": {}}
        outcome, events = run_here(shelf.request(untrained, dataset, method, target=SMALL), tmp_path / "work")
        assert isinstance(outcome, Failed)
        assert outcome.code == "teacher_not_trained"
        assert messages(events)[1] == (
            "20 rows of unlabeled have no teacher_scores: the teacher's own predictions are used there."
        )

    def test_weights_of_an_encoder_without_a_head_are_inherited(self, shelf, encoder, tmp_path):
        request = shelf.request(
            encoder,
            add_foreign(shelf, tmp_path, unscored=20),
            {"name": "weight_copy", "distillation": {"logits_weight": 1}},
            target=SMALL,
            training={"epochs": 10, "learning_rate": 1e-2},
            exports=["fp32"],
        )
        outcome, told = succeeded(request, tmp_path / "work")
        assert outcome.report.teacher is None
        assert outcome.report.student.agreement["dev"]["accuracy"] > 0.9
        assert any(text.startswith("20 rows of unlabeled") and "left out" in text for text in told)


class TestNoTeacher:
    def test_a_bilstm_learns_scores(self, shelf, foreign, tmp_path):
        training = {"epochs": 10, "learning_rate": 1e-2}
        request = shelf.request(None, foreign, "bilstm", target=BILSTM, training=training)
        outcome, _ = succeeded(request, tmp_path / "work")
        assert outcome.report.student.agreement["dev"]["accuracy"] > 0.9
        assert outcome.report.student.agreement["test"]["accuracy"] > 0.9
        assert outcome.manifest.labels == LABELS
        assert outcome.manifest.architecture.vocabulary < 400  # the texts have no more pieces

    def test_tfidf_needs_neither_teacher_nor_scores(self, shelf, tmp_path):
        train, dev = tiny_examples(200), tiny_examples(48, seed=1)
        dataset = add(shelf, "text_classification", tmp_path, labels=LABELS, train=train, dev=dev)
        target = {"shape": {"terms": 500}, "vocabulary_size": 400}
        request = shelf.request(None, dataset, "tfidf", target=target, exports=["fp32"])
        outcome, _ = succeeded(request, tmp_path / "work")
        student = outcome.report.student
        assert student.quality["dev"]["accuracy"] > 0.8
        assert outcome.manifest.parameters == 500 + 2 * 500 + 2
        assert outcome.manifest.exports["fp32"].metric == student.quality["dev"]["accuracy"]

    def test_a_tagger(self, shelf, tmp_path):
        def say(row: Row) -> Row:
            return row | {
                "teacher_scores": [
                    tag if i % 2 else {"label": tag, "score": 0.9} for i, tag in enumerate(row["tags"])
                ]
            }

        train, dev = tiny_tagged_examples(200), tiny_tagged_examples(32, seed=1)
        scored = without("tags", [say(row) for row in train])
        dataset = add(shelf, "token_classification", tmp_path, train=scored, dev=dev)
        training = {"epochs": 14, "learning_rate": 5e-3}
        method = {"name": "distillation", "initialisation": "random"}
        request = shelf.request(None, dataset, method, target=BILSTM, training=training, exports=["fp32"])
        outcome, _ = succeeded(request, tmp_path / "work")
        assert outcome.manifest.labels == ["O", "B-thing", "I-thing"]
        assert outcome.report.student.quality["dev"]["f1"] > 0.9

    def test_a_translation_model(self, shelf, tmp_path):
        """It learns what the teacher writes: one that shouts."""

        def say(rows: list[Row]) -> list[Row]:
            return [row | {"teacher_scores": {"other": "nein", "api": row["target"].upper()}} for row in rows]

        dataset = add(
            shelf,
            "translation",
            tmp_path,
            train=say(tiny_translations(96)),
            dev=without("target", say(tiny_translations(16, seed=1))),
            unlabeled=without("target", tiny_translations(64, seed=2)),
        )
        request = shelf.request(
            None,
            dataset,
            {"name": "distillation", "initialisation": "random", "distillation": {"logits_weight": 1}},
            target={"shape": TRANSLATOR, "vocabulary_size": 320},
            training={"epochs": 8, "learning_rate": 1e-2},
            exports=["fp32"],
            teacher_weights={"api": 1},
        )
        outcome, told = succeeded(request, tmp_path / "work")
        assert outcome.report.student.agreement["dev"]["accuracy"] > 0.4
        assert any(text.startswith("64 rows of unlabeled have no") for text in told)


def test_numbers(shelf, tmp_path):
    """Of two teachers, one of whom is worth nothing; scores are far from one."""

    def say(rows: list[Row]) -> list[Row]:
        return [
            {**row, "score": 0.0, "teacher_scores": {"good": 100 * row["score"], "bad": -7}} for row in rows
        ]

    rows = [
        {"text": f"{row['text']} {row['text_pair']}", "score": row["score"]}
        for row in tiny_scored_examples(300)
    ]
    encoder = shelf.add_model(tiny_model_folder(tmp_path / "encoder"))
    dataset = add(
        shelf,
        "text_regression",
        tmp_path,
        train=without("score", say(rows[:250])),
        dev=without("score", say(rows[250:])),
    )
    request = shelf.request(
        encoder,
        dataset,
        {"name": "weight_copy", "distillation": {}},
        target=SMALL,
        training={"epochs": 8, "learning_rate": 1e-2},
        exports=["fp32"],
        teacher_weights={"good": 1},
    )
    outcome, _ = succeeded(request, tmp_path / "work")
    assert outcome.report.student.agreement["dev"]["spearman"] > 0.8
    assert outcome.report.student.agreement["dev"]["mse"] < 100**2


def test_scores_that_the_method_does_not_use_are_mentioned(shelf, encoder, foreign, tmp_path):
    request = shelf.request(encoder, foreign, "fine_tuning", training={"epochs": 1}, exports=["fp32"])
    outcome, told = succeeded(request, tmp_path / "work")
    assert told[0].startswith(
        "The data set has teacher_scores; fine_tuning, as it is set here, learns from labels alone"
    )
    assert outcome.report.teacher_scores is None


def same_choices(request: JobRequest, workdir: Path, student: PreTrainedModel) -> float:
    """How often a student chooses what its teacher's network does, on dev."""
    manifest = request.dataset.manifest
    folder = input_folder(workdir, TEACHER)
    teacher = load_teacher(folder, request.teacher.manifest, task=manifest.task, labels=LABELS)
    data, _ = load_task_data(workdir / DATASET, manifest, tokenizers=teacher.tokenizers, max_length=32)
    ours, theirs = (
        predict_logits(network, data.dev, pad_id=data.pad_id, device=torch.device("cpu")).argmax(1)
        for network in (student, teacher.network)
    )
    return float(np.mean(ours == theirs))
