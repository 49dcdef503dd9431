"""A teacher and a squeezed student whose labels are decided one by one, through the pipeline."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from app.intake.models.folder import prepare
from tests.tiny import PLEASANT, UNPLEASANT, tiny_examples, tiny_model_folder
from tests.worker.requests import Shelf, fetch_model, run_here
from worker.runner.protocol import ModelRef, Succeeded

TASK = "multi_label_classification"
NAMES = ["long", "pleasant", "unpleasant"]
TRAINING = {"learning_rate": 4e-3, "epochs": 12}


def rows(count: int, *, seed: int) -> str:
    lines = []
    for example in tiny_examples(count, seed=seed):
        words = example["text"].split()
        labels = ["pleasant"] * bool({*words} & {*PLEASANT}) + ["unpleasant"] * bool({*words} & {*UNPLEASANT})
        lines.append({"text": example["text"], "labels": labels + ["long"] * (len(words) > 9)})
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("pipeline"))


def test_thresholds_are_stored_and_transformers_reads_the_folder(shelf: Shelf, tmp_path: Path) -> None:
    paths = {}
    for seed, (split, count) in enumerate({"train": 256, "dev": 64, "test": 64}.items()):
        paths[split] = tmp_path / f"{split}.jsonl"
        paths[split].write_text(rows(count, seed=seed))
    dataset = shelf.add_files(paths, task=TASK)
    assert dataset.manifest.labels == NAMES
    encoder = shelf.add_model(tiny_model_folder(shelf.root / "encoder"))
    request = shelf.request(encoder, dataset, "fine_tuning", training=TRAINING)
    taught, _ = run_here(request, tmp_path / "teacher")
    assert isinstance(taught, Succeeded), taught
    teacher = ModelRef(id=request.student_id, manifest=taught.manifest)

    request = shelf.request(
        teacher,
        dataset,
        {"name": "weight_squeezing", "distillation": {}},
        target={"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}},
        training=TRAINING,
    )
    outcome, _ = run_here(request, tmp_path / "student")
    assert isinstance(outcome, Succeeded), outcome
    for manifest in (taught.manifest, outcome.manifest):
        assert manifest.thresholds is not None
        assert len(manifest.thresholds) == len(NAMES)
    quality = outcome.report.student.quality
    assert set(quality["test"]) == {"micro_f1", "macro_f1", "label_ranking_average_precision"}
    assert outcome.report.metric == "micro_f1"
    assert quality["dev"]["micro_f1"] > outcome.report.trivial_baseline["dev"] + 0.05
    assert set(outcome.manifest.exports) == {"fp32", "int8"}

    folder = fetch_model(shelf, outcome.manifest, tmp_path / "fetched")
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    assert network.config.problem_type == TASK
    ids = torch.tensor([[2, 5, 3]])
    answer = network(input_ids=ids, labels=torch.ones(1, len(NAMES)))
    assert torch.isfinite(answer.loss), "which takes a matrix of labels"

    (tmp_path / "again").mkdir()
    again = prepare(folder, tmp_path / "again")
    assert (again.task, again.labels) == (TASK, NAMES)
