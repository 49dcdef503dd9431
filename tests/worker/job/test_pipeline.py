import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from app.domain.documents.events import Message, Metrics, Progress
from app.domain.documents.manifest import FileEntry
from app.engine.tokenizing import TextTokenizer
from tests.tiny import LABELS, tiny_dataset_files, tiny_examples, tiny_model_folder
from tests.worker.requests import (
    Shelf,
    fetch_model,
    run_here,
    run_pipeline,
)
from tests.worker.tiny_networks import shift_bias
from worker.contracts import TokenizedSplit
from worker.evaluation.exported import ExportedEncoder
from worker.networks.loading import load_network, load_tokenizer
from worker.runner.launch import ForkServer
from worker.runner.protocol import (
    DatasetRef,
    ModelRef,
    Succeeded,
)
from worker.tasks import encoding

QUICK = {"learning_rate": 2e-3}
SMALL = {"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}}


def student_weights(outcome: object) -> str:
    assert isinstance(outcome, Succeeded), outcome
    return outcome.manifest.files.entries["model.safetensors"].sha256


def assert_transformers_reads_alike(folder: Path, *, max_length: int) -> None:
    """The ids of what is served, for a student that was taken away."""
    taken = AutoTokenizer.from_pretrained(folder)
    served = TextTokenizer.from_file(folder / "tokenizer.json", max_length=max_length)
    texts = [f"A {LABELS[0]} FILM, é", "[MASK] " + "charming " * 100, ("one side", "the other")]
    for text in texts:
        tokens = taken(*([text] if isinstance(text, str) else text), truncation=True)
        found = served.encode([text])[0]
        assert (tokens["input_ids"], tokens["token_type_ids"]) == (found.ids, found.type_ids)


class TestSuccess:
    def test_a_student_is_trained_measured_checked_and_stored(
        self, fork_server: ForkServer, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(
            teacher, dataset, "weight_squeezing", target=SMALL, training=QUICK | {"epochs": 4}
        )
        outcome, events = run_pipeline(fork_server, request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome

        manifest = outcome.manifest
        assert manifest.files.prefix == request.output_prefix
        assert set(manifest.files.entries) == {
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "README.md",
            "model.fp32.onnx",
            "model.int8.onnx",
        }
        folder = fetch_model(shelf, manifest, tmp_path / "student")
        for name, entry in manifest.files.entries.items():
            assert FileEntry.of(folder / name) == entry
        network = load_network(folder, manifest, task="text_classification", labels=LABELS)
        assert network.num_parameters() == manifest.parameters
        assert (
            manifest.parameters
            == manifest.architecture.count(head=manifest.head).total
            < teacher.manifest.parameters
        )
        assert manifest.labels == LABELS
        assert manifest.max_length == 32
        assert manifest.exports["fp32"].max_logit_difference < 1e-4
        ExportedEncoder(folder / manifest.exports["int8"].file)

        for export in manifest.exports.values():
            alone, *_, never = export.cascade.points
            assert (alone.share, alone.metric) == (1, export.metric)
            assert (never.share, never.metric) == (0, export.cascade.teacher_metric)

        report = outcome.report
        assert report.student.quality == outcome.metrics
        assert set(report.teacher.quality) == {"dev", "test"}
        assert report.ratios.parameters > 2
        assert set(report.student.exports["int8"].latency_ms) == {"1", "32"}

        progress = [event for event in events if isinstance(event, Progress)]
        stages = list(dict.fromkeys(event.stage for event in progress))
        assert stages[:4] == ["loading", "tokenizing", "planning", "evaluating_teacher"]
        assert stages[-4:] == ["evaluating", "exporting", "checking", "measuring"]
        fractions = [event.fraction for event in progress]
        assert fractions == sorted(fractions)
        looks = [event.values for event in events if isinstance(event, Metrics) and "loss" in event.values]
        assert looks
        assert all(look.keys() == {"loss", "learning_rate", "gradient_norm"} for look in looks)

    def test_fine_tuning_makes_a_teacher_out_of_an_encoder(
        self, teacher: ModelRef, encoder: ModelRef
    ) -> None:
        assert encoder.manifest.task is None
        assert teacher.manifest.task == "text_classification"
        assert teacher.manifest.architecture == encoder.manifest.architecture
        assert teacher.manifest.exports["fp32"].metric > 0.7

    def test_a_gated_method_gets_its_small_model(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        small = shelf.add_model(
            tiny_model_folder(tmp_path / "small", layers=1, hidden=16, heads=1, ffn=32, seed=5)
        )
        request = shelf.request(
            teacher,
            dataset,
            {"name": "weight_squeezing", "gate": {"small_model": small.id}},
            target=SMALL,
            training=QUICK | {"epochs": 1},
            exports=["fp32"],
            inputs={"teacher": teacher, "small_model": small},
        )
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.manifest.architecture == small.manifest.architecture

    def test_scratch_needs_no_teacher_that_knows_the_task(
        self, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(encoder, dataset, "scratch", target=SMALL, exports=["fp32"])
        outcome, _ = run_here(request, tmp_path)
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.report.teacher is None
        assert outcome.report.ratios is None

    @pytest.mark.parametrize("dev", ["one label", "one label nearly everywhere"])
    def test_a_teacher_that_is_no_more_accurate_than_one_label_may_know_a_lot(
        self, dev: str, shelf: Shelf, teacher: ModelRef, tmp_path: Path
    ) -> None:
        files = tiny_dataset_files(tmp_path / "data", test=0)
        examples = tiny_examples(124)
        common, rare = ([row for row in examples if row["label"] == label] for label in LABELS)
        rows = common
        if dev != "one label":
            # Of what sounds rare, two in three are not: each costs accuracy, and yet there are hits.
            rows = [*common, *({**row, "label": LABELS[0]} for row in rare[:8]), *rare[8:12]]
        files["dev"].write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = shelf.add_files(files, task="text_classification", labels=LABELS)
        request = shelf.request(teacher, data, "scratch", target=SMALL, exports=["fp32"])
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        reached = outcome.report.teacher.quality["dev"]["accuracy"]
        assert reached <= outcome.report.trivial_baseline["dev"]

    def test_a_trimmed_vocabulary_goes_with_its_tokenizer(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        target = {**SMALL, "vocabulary_size": 100}
        request = shelf.request(teacher, dataset, "weight_copy", target=target, training=QUICK)
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.manifest.architecture.vocabulary <= 100 < teacher.manifest.architecture.vocabulary
        folder = fetch_model(shelf, outcome.manifest, tmp_path / "student")
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        assert tokenizer.get_vocab_size() == outcome.manifest.architecture.vocabulary
        assert_transformers_reads_alike(folder, max_length=outcome.manifest.max_length)
        network = load_network(folder, outcome.manifest, task="text_classification", labels=LABELS)
        assert network.num_parameters() == outcome.manifest.parameters
        assert outcome.report.teacher.total_parameters == teacher.manifest.parameters

    def test_texts_are_encoded_once_for_each_vocabulary(
        self,
        shelf: Shelf,
        teacher: ModelRef,
        dataset: DatasetRef,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Also where the student learns from the outputs of the teacher with its whole vocabulary."""
        encoded: Counter[int] = Counter()
        encode = encoding.tokenize

        def counting(texts: list[str], *args: Any, tokenizer: Tokenizer, **options: Any) -> TokenizedSplit:
            encoded[tokenizer.get_vocab_size()] += len(texts)
            return encode(texts, *args, tokenizer=tokenizer, **options)

        monkeypatch.setattr(encoding, "tokenize", counting)
        method = {"name": "weight_copy", "distillation": {}}
        target = {**SMALL, "vocabulary_size": 100}
        request = shelf.request(teacher, dataset, method, target=target, training={"epochs": 0.5})
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        rows = sum(split.rows for split in dataset.manifest.splits.values())
        trimmed = outcome.manifest.architecture.vocabulary
        assert encoded == {teacher.manifest.architecture.vocabulary: rows, trimmed: rows}

    @pytest.mark.parametrize("rate", [1e-9, 5e-3])
    def test_a_student_that_learnt_nothing_comes_with_a_warning(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, rate: float, tmp_path: Path
    ) -> None:
        training = {"learning_rate": rate, "epochs": 6}
        request = shelf.request(teacher, dataset, "scratch", target=SMALL, training=training)
        outcome, events = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        warnings = [e for e in events if isinstance(e, Message) and "learned nothing" in e.text]
        assert len(warnings) == (outcome.metrics["dev"]["accuracy"] == 0.5) == (rate < 1e-3)

    def test_a_bound_on_latency_with_fewer_words(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        """What is timed has the words that the student will have, before it is known which."""
        target = {"max_latency_ms": 1000, "vocabulary_size": 100}
        request = shelf.request(teacher, dataset, "weight_copy", target=target, training=QUICK)
        outcome, _ = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.manifest.architecture.vocabulary <= 100

    def test_a_seed_gives_the_same_weights_twice_and_another_gives_others(
        self, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        weights = []
        for run, seed in enumerate([1, 1, 2]):
            training = QUICK | {"epochs": 1, "seed": seed}
            request = shelf.request(encoder, dataset, "fine_tuning", training=training, exports=["fp32"])
            outcome, _ = run_here(request, tmp_path / str(run))
            weights.append(student_weights(outcome))
        assert weights[0] == weights[1] != weights[2]

    def test_the_test_split_changes_what_is_reported_and_nothing_else(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        other = shelf.add_dataset(test=21)
        without = shelf.add_dataset(test=0)
        outcomes = []
        for run, data in enumerate([dataset, other, without]):
            request = shelf.request(
                teacher, data, "scratch", target=SMALL, training=QUICK | {"epochs": 1}, exports=["fp32"]
            )
            outcomes.append(run_here(request, tmp_path / str(run))[0])
        assert len({student_weights(outcome) for outcome in outcomes}) == 1
        tests = [outcome.metrics.get("test") for outcome in outcomes]
        assert tests[0] != tests[1]
        assert tests[2] is None


class TestTeacherExports:
    def test_a_teacher_without_onnx_files_gets_them_once(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        folder = fetch_model(shelf, teacher.manifest, tmp_path / "upload")
        uploaded = shelf.add_model(folder)
        assert not uploaded.manifest.exports

        def squeeze(run: str, model: ModelRef) -> Succeeded:
            request = shelf.request(model, dataset, "scratch", target=SMALL, training=QUICK | {"epochs": 1})
            outcome, _ = run_here(request, tmp_path / run)
            assert isinstance(outcome, Succeeded), outcome
            return outcome

        first = squeeze("first", uploaded)
        assert set(first.teacher_exports) == {"fp32", "int8"}
        for export in first.teacher_exports.values():
            stored = tmp_path / export.file
            shelf.storage.fetch(f"{uploaded.manifest.files.prefix}/{export.file}", stored)
            assert FileEntry.of(stored) == first.teacher_files[export.file]
            assert export.size_bytes == stored.stat().st_size
        cached = sorted(
            (shelf.root / "cache" / "onnx").rglob("*.onnx"), key=lambda path: path.stat().st_mtime
        )
        written = [path.stat().st_mtime_ns for path in cached]

        assert squeeze("second", uploaded).teacher_files == first.teacher_files
        assert [path.stat().st_mtime_ns for path in cached] == written

        manifest = uploaded.manifest.model_copy(update={"exports": first.teacher_exports})
        manifest.files.entries.update(first.teacher_files)
        third = squeeze("third", uploaded.model_copy(update={"manifest": manifest}))
        assert third.teacher_exports == {}
        assert third.report.teacher.exports["fp32"].latency_ms

    def test_one_that_is_not_sound_is_left_out_and_fails_no_job(
        self, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        folder = fetch_model(shelf, teacher.manifest, tmp_path / "broken")
        shift_bias(folder / "model.fp32.onnx", 0.01)
        files = shelf.storage.put_folder("models/broken", folder)
        manifest = teacher.manifest.model_copy(update={"files": files})
        request = shelf.request(
            ModelRef(id=teacher.id, manifest=manifest),
            dataset,
            "scratch",
            target=SMALL,
            training=QUICK | {"epochs": 1},
        )
        outcome, events = run_here(request, tmp_path / "work")
        assert isinstance(outcome, Succeeded), outcome
        assert list(outcome.report.teacher.exports) == ["int8"]
        warnings = [event.text for event in events if isinstance(event, Message)]
        assert any("The teacher's fp32 file is excluded" in text for text in warnings)
