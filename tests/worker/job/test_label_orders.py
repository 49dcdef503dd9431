"""A job whose teacher has the data set's labels in an order of its own."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.tiny import LABELS, tiny_model_folder
from tests.worker.requests import Shelf, run_here
from worker.runner.protocol import ModelRef, Succeeded


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("labels"))


@pytest.mark.timeout(120)
def test_a_student_has_its_teachers_order_and_its_head(shelf: Shelf, tmp_path: Path) -> None:
    dataset = shelf.add_dataset()
    encoder = shelf.add_model(tiny_model_folder(shelf.root / "encoder", labels=LABELS[::-1]))
    quick = {"epochs": 8, "learning_rate": 2e-3}
    tuned, _ = run_here(shelf.request(encoder, dataset, "fine_tuning", training=quick), tmp_path / "tuned")
    assert isinstance(tuned, Succeeded), tuned
    assert dataset.manifest.labels == LABELS
    assert tuned.manifest.labels == LABELS[::-1]
    assert tuned.metrics["dev"]["accuracy"] > 0.7

    teacher = ModelRef(id=encoder.id, manifest=tuned.manifest)
    target = {"shape": {"layers": 1, "hidden": 32, "heads": 2, "ffn": 64}}
    request = shelf.request(teacher, dataset, "weight_copy", target=target, training={"epochs": 1})
    copied, _ = run_here(request, tmp_path / "copied")
    assert isinstance(copied, Succeeded), copied
    assert copied.manifest.labels == LABELS[::-1]
    assert copied.report is not None
    assert copied.report.teacher is not None
    assert copied.report.teacher.quality["dev"]["accuracy"] == tuned.metrics["dev"]["accuracy"]
    assert load_file(tmp_path / "copied" / "student" / "model.safetensors")["classifier.weight"].shape[0] == 2


@pytest.mark.parametrize(("greatest", "activation"), [(1, "sigmoid"), (5, None)])
def test_a_sigmoid_stays_where_scores_are_from_0_to_1(
    shelf: Shelf, tmp_path: Path, greatest: int, activation: str | None
) -> None:
    folder = tiny_model_folder(tmp_path / "reranker", labels=["score"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": None}))
    teacher = shelf.add_model(folder)
    assert teacher.manifest.activation == "sigmoid"
    path = tmp_path / "scores.jsonl"
    rows = [{"text": f"the film was {'good' * (i % 2)}", "score": greatest * (i % 2)} for i in range(16)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    dataset = shelf.add_files({"train": path, "dev": path}, task="text_regression")
    request = shelf.request(teacher, dataset, "fine_tuning", training={"epochs": 1}, exports=["fp32"])
    outcome, _ = run_here(request, tmp_path / "job")
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.manifest.activation == activation
    saved = json.loads((tmp_path / "job" / "student" / "config.json").read_text())
    assert saved["sentence_transformers"]["activation_fn"].endswith("Sigmoid" if activation else "Identity")
    assert saved.get("problem_type") == (None if activation else "regression")
