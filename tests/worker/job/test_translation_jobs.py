"""Jobs on translations from the request to the stored student."""

from pathlib import Path

import pytest

from app.domain.documents.manifest import FileEntry
from tests.worker.requests import Shelf, fetch_model, run_here
from tests.worker.translations import translation_files
from worker.networks.loading import load_network, load_tokenizer
from worker.runner.protocol import DatasetRef, ModelRef, Succeeded

TEACHER = {"encoder_layers": 2, "decoder_layers": 2, "hidden": 32, "heads": 4, "ffn": 48}
STUDENT = TEACHER | {"decoder_layers": 1, "decoder_hidden": 16, "decoder_heads": 2, "decoder_ffn": 24}
FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"),
    *("encoder.fp32.onnx", "decoder.fp32.onnx"),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("translation"))


@pytest.fixture(scope="module")
def dataset(shelf: Shelf) -> DatasetRef:
    return shelf.add_files(translation_files(shelf.root / "source"), task="translation")


@pytest.fixture(scope="module")
def teacher(shelf: Shelf, dataset: DatasetRef) -> ModelRef:
    """Made by a job of the data set alone."""
    request = shelf.request(
        None,
        dataset,
        "scratch",
        target={"shape": TEACHER, "vocabulary_size": 300},
        training={"epochs": 20, "learning_rate": 4e-3},
        exports=["fp32"],
    )
    outcome, _ = run_here(request, shelf.root / "teacher")
    assert isinstance(outcome, Succeeded), outcome
    return ModelRef(id=request.student_id, manifest=outcome.manifest)


def test_scratch_makes_a_teacher_of_a_data_set_alone(shelf: Shelf, teacher: ModelRef, tmp_path: Path) -> None:
    manifest = teacher.manifest
    assert set(manifest.files.entries) == FILES
    assert manifest.task == "translation"
    assert manifest.labels is None
    assert manifest.architecture.vocabulary <= 300
    assert manifest.max_length == 32
    assert manifest.exports["fp32"].decoder_file == "decoder.fp32.onnx"
    assert manifest.exports["fp32"].metric > 5
    folder = fetch_model(shelf, manifest, tmp_path)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    assert tokenizer.get_vocab_size() == manifest.architecture.vocabulary
    assert tokenizer.truncation["max_length"] == manifest.max_length
    network = load_network(folder, manifest, task="translation", labels=[])
    assert network.num_parameters(only_trainable=True) == manifest.parameters


def test_its_student_is_trained_measured_and_stored(
    shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
) -> None:
    request = shelf.request(
        teacher,
        dataset,
        "weight_distillation",
        target={"shape": STUDENT},
        training={"epochs": 4, "learning_rate": 2e-3},
    )
    outcome, events = run_here(request, tmp_path / "work")
    assert isinstance(outcome, Succeeded), outcome
    manifest, report = outcome.manifest, outcome.report
    assert set(manifest.files.entries) == FILES | {"encoder.int8.onnx", "decoder.int8.onnx"}
    assert manifest.architecture.shape.decoder_hidden == 16
    folder = fetch_model(shelf, manifest, tmp_path / "student")
    for name, entry in manifest.files.entries.items():
        assert FileEntry.of(folder / name) == entry
    assert report.metric == "bleu"
    assert report.trivial_baseline == {"dev": 0.0, "test": 0.0}
    assert set(report.student.quality["test"]) == {"bleu", "chrf", "loss", "accuracy"}
    assert report.ratios.latency["fp32"].keys() == {"1", "32"}
    assert any(getattr(event, "stage", "") == "teacher_outputs" for event in events)
    # The teacher had no int8 files; both parts of them are stored beside it, under one tag.
    export = outcome.teacher_exports["int8"]
    assert set(outcome.teacher_files) == {export.file, export.decoder_file}
    assert export.decoder_file == export.file.replace("encoder", "decoder")
