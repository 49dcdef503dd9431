"""What a job says when it fails, and what it leaves."""

import errno
import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from app.domain.documents.events import Message
from app.domain.documents.manifest import FileEntry
from app.domain.errors import NotFound, RetryableJobError
from tests.tiny import LABELS, tiny_model_folder
from tests.worker.job.test_pipeline import SMALL
from tests.worker.requests import (
    Shelf,
    run_here,
)
from worker.job.failures import failure_of
from worker.runner.protocol import (
    DatasetRef,
    Failed,
    ModelRef,
    Succeeded,
)


class TestFailure:
    def test_a_teacher_that_knows_nothing(
        self, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(encoder, dataset, "distillation", target=SMALL)
        outcome, _ = run_here(request, tmp_path)
        assert isinstance(outcome, Failed)
        assert outcome.code == "teacher_not_trained"
        assert "always predicting the most frequent label scores 0.500" in outcome.message
        assert "fine_tuning" in outcome.message
        assert shelf.storage.keys(request.output_prefix) == []

    def test_a_teacher_whose_logits_are_not_numbers(
        self, shelf: Shelf, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        folder = tiny_model_folder(tmp_path / "model", labels=LABELS)
        poison(folder)
        request = shelf.request(shelf.add_model(folder), dataset, "scratch", target=SMALL)
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Failed)
        assert outcome.code == "teacher_not_trained"

    def test_a_small_model_with_other_words(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        folder = tiny_model_folder(tmp_path / "small", **SMALL["shape"])
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        words = tokenizer["model"]["vocab"]
        *_, one, other = words
        words[one], words[other] = words[other], words[one]
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        small = shelf.add_model(folder)
        gated = {"name": "weight_squeezing", "gate": {"small_model": small.id}}
        request = shelf.request(
            teacher, dataset, gated, target=SMALL, inputs={"teacher": teacher, "small_model": small}
        )
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Failed)
        assert outcome.code == "incompatible_small_model"
        assert "tokenizer" in outcome.message

    def test_weights_that_are_not_numbers(self, shelf: Shelf, dataset: DatasetRef, tmp_path: Path) -> None:
        folder = tiny_model_folder(tmp_path / "model", labels=LABELS)
        model = shelf.add_model(folder)
        files = model.manifest.files
        poison(shelf.root / "files" / files.prefix, by=math.inf)  # such an upload is refused
        weights = shelf.root / "files" / files.prefix / "model.safetensors"
        files.entries["model.safetensors"] = FileEntry.of(weights)
        request = shelf.request(model, dataset, "fine_tuning", target=None)
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Failed)
        assert outcome.code == "weights_not_finite"
        assert "embeddings.LayerNorm.weight" in outcome.message

    def test_an_onnx_file_beyond_tolerance_is_never_stored(
        self, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(
            encoder, dataset, "fine_tuning", training={"epochs": 0.1}, exports=["fp32"], onnx_tolerance=1e-12
        )
        outcome, _ = run_here(request, tmp_path)
        assert isinstance(outcome, Failed)
        assert outcome.code == "onnx_parity_failed"
        assert shelf.storage.keys(request.output_prefix) == []

    def test_an_int8_file_that_falls_short_fails_a_job_only_where_it_is_required(
        self, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(
            encoder, dataset, "fine_tuning", training={"epochs": 0.1}, exports=["int8"], int8_min_agreement=2
        )
        outcome, events = run_here(request, tmp_path / "published")
        assert isinstance(outcome, Succeeded), outcome
        assert set(outcome.manifest.exports) == set(outcome.report.student.exports) == {"fp32"}
        onnx_files = [name for name in outcome.manifest.files.entries if name.endswith(".onnx")]
        assert onnx_files == ["model.fp32.onnx"]
        excluded, replaced = [event.text for event in events if isinstance(event, Message)][-2:]
        assert excluded.startswith("The student's int8 file is excluded. The int8 file agrees ")
        assert replaced == "The student is stored with an fp32 file in its place."

        spec = request.spec.model_copy(update={"required_exports": ["int8"]})
        outcome, _ = run_here(request.model_copy(update={"spec": spec}), tmp_path / "failed")
        assert isinstance(outcome, Failed)
        assert outcome.code == "int8_agreement_too_low"

    def test_diverging_training_says_so(self, shelf: Shelf, dataset: DatasetRef, tmp_path: Path) -> None:
        folder = tiny_model_folder(tmp_path / "model")
        poison(folder)
        outcome, _ = run_here(
            shelf.request(shelf.add_model(folder), dataset, "fine_tuning"), tmp_path / "work"
        )
        assert isinstance(outcome, Failed)
        assert outcome.code == "training_diverged"

    def test_a_stored_file_that_changed(self, tmp_path: Path, dataset: DatasetRef, shelf: Shelf) -> None:
        model = shelf.add_model(tiny_model_folder(tmp_path / "model"))
        stored = shelf.root / "files" / model.manifest.files.prefix / "model.safetensors"
        stored.write_bytes(stored.read_bytes()[:-1] + b"!")
        outcome, _ = run_here(shelf.request(model, dataset, "fine_tuning"), tmp_path / "work")
        assert isinstance(outcome, Failed)
        assert outcome.code == "file_corrupted"
        assert "model.safetensors" in outcome.message

    def test_a_stored_file_that_is_gone(self, tmp_path: Path, dataset: DatasetRef, shelf: Shelf) -> None:
        model = shelf.add_model(tiny_model_folder(tmp_path / "model"))
        shelf.storage.delete_prefix(model.manifest.files.prefix)
        outcome, _ = run_here(shelf.request(model, dataset, "fine_tuning"), tmp_path / "work")
        assert isinstance(outcome, Failed)
        assert outcome.code == "file_missing"

    @pytest.mark.parametrize(
        ("error", "code", "retryable"),
        [
            (MemoryError(), "out_of_memory", False),
            (
                RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
                "out_of_memory",
                False,
            ),
            (RetryableJobError("lost", "Later."), "lost", True),
            (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk_full", True),
            (SafetensorError("Error: No space left on device (os error 28)"), "disk_full", True),
            (OSError(errno.EACCES, "secret/path"), "internal_error", False),
            (torch.AcceleratorError("CUDA error: secret", 1), "accelerator_failed", True),
            (NotFound("file", "x"), "file_not_found", False),
            (ValueError("secret/path"), "internal_error", False),
        ],
    )
    def test_every_error_has_a_code_and_tells_no_internals(
        self, error: Exception, code: str, retryable: bool
    ) -> None:
        failed = failure_of(error, stage="training")
        assert (failed.code, failed.retryable) == (code, retryable)
        assert "secret" not in failed.message

    def test_an_error_of_this_service_names_the_stage(self) -> None:
        assert "'exporting'" in failure_of(ValueError("x"), stage="exporting").message

    def test_memory_names_the_knobs(self) -> None:
        for knob in ("batch_size", "micro_batch_size", "max_length"):
            assert knob in failure_of(MemoryError(), stage="training").message


def poison(folder: Path, *, by: float = 1e38) -> None:
    """Give a model weights that are finite until something is multiplied with them, or that are not."""
    weights = load_file(folder / "model.safetensors")
    [norm] = [name for name in weights if name.endswith("embeddings.LayerNorm.weight")]
    weights[norm] *= by
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
