"""Jobs on vectors of texts: students answer in their teacher's space, or in a smaller one."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from app.domain.pooling import Pooling
from app.inference.predictors.embedder import Embedder, EmbeddingOptions
from app.inference.predictors.opening import open_predictor
from app.inference.predictors.predictor import Run
from tests.tiny import tiny_examples, tiny_model_folder
from tests.worker.requests import Shelf, fetch_model, run_here
from worker.runner.protocol import DatasetRef, JobRequest, ModelRef, Succeeded

Row = dict[str, Any]
SMALL = {"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}}
TRAINING = {"epochs": 6, "learning_rate": 5e-3, "max_length": 16}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def teacher(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """Of sentence-transformers: its first token, at length 1."""
    folder = tiny_model_folder(tmp_path_factory.mktemp("teacher") / "model")
    kinds = ("Transformer", "Pooling", "Normalize")
    listed = [
        {
            "idx": place,
            "path": f"{place}_{kind}" if place else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    return shelf.add_model(folder)


def texts(count: int, *, seed: int) -> list[Row]:
    return [{"text": row["text"]} for row in tiny_examples(count, seed=seed)]


def pairs(count: int, *, seed: int) -> list[Row]:
    """Texts at random; alike where both are pleasant, or both are not."""
    rows = tiny_examples(2 * count, seed=seed)
    np.random.default_rng(seed).shuffle(rows)
    return [
        {"text": one["text"], "text_pair": two["text"], "score": float(one["label"] == two["label"])}
        for one, two in pairwise(rows[: count + 1])
    ]


def add(shelf: Shelf, folder: Path, **splits: list[Row]) -> DatasetRef:
    paths = {}
    for split, rows in splits.items():
        paths[split] = folder / f"{split}.jsonl"
        paths[split].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return shelf.add_files(paths, task="sentence_embedding")


def succeeded(request: JobRequest, folder: Path) -> Succeeded:
    outcome, _ = run_here(request, folder)
    assert isinstance(outcome, Succeeded), outcome
    return outcome


def served(outcome: Succeeded, folder: Path, asked: list[str], **options: Any) -> np.ndarray:
    predictor = open_predictor(outcome.manifest, "fp32", fetch=lambda name: folder / name, threads=1)
    assert isinstance(predictor, Embedder)
    rows = predictor.run(Run(predictor.encode(asked, None), None, lambda _: True))
    return np.array([predictor.result(row, EmbeddingOptions(**options)).values for row in rows])


def test_a_student_of_texts_alone_answers_in_the_teachers_space(
    shelf: Shelf, teacher: ModelRef, tmp_path: Path
) -> None:
    data = add(shelf, tmp_path, train=texts(200, seed=0), dev=texts(60, seed=1), test=pairs(40, seed=2))
    target = SMALL | {"vocabulary_size": 120}
    request = shelf.request(teacher, data, "weight_squeezing", target=target, training=TRAINING)
    outcome = succeeded(request, tmp_path / "work")
    report = outcome.report
    assert report.metric == "spearman"
    dev, test = (report.student.quality[split] for split in ("dev", "test"))
    assert dev["spearman"] > 0.2
    assert dev["cosine"] > 0.8
    assert dev["neighbour_recall_at_10"] > 10 / 59  # what chance gives
    assert {"spearman", "neighbour_recall_at_10", "cosine"} == set(test)
    assert report.teacher is not None
    assert report.teacher.quality["dev"]["spearman"] == pytest.approx(1, abs=1e-4)
    assert outcome.manifest.exports["int8"].label_agreement > 0.9
    assert set(outcome.teacher_exports) == {"fp32", "int8"}
    assert outcome.manifest.pooling == Pooling(mode="cls", projection=32, normalize=True)

    folder = fetch_model(shelf, outcome.manifest, tmp_path / "student")
    asked = [row["text"] for row in texts(5, seed=4)] + ["good " * 40]
    ours = served(outcome, folder, asked)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(asked)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_fewer_dimensions_are_the_principal_ones(shelf: Shelf, teacher: ModelRef, tmp_path: Path) -> None:
    data = add(shelf, tmp_path, train=texts(200, seed=0), dev=texts(60, seed=1))
    target = SMALL | {"dimensions": 8}
    method = {"name": "weight_copy"}
    request = shelf.request(teacher, data, method, target=target, training=TRAINING, exports=["fp32"])
    outcome = succeeded(request, tmp_path / "work")
    assert outcome.manifest.dimensions == 8
    assert outcome.report.student.quality["dev"]["neighbour_recall_at_10"] > 10 / 59
    folder = fetch_model(shelf, outcome.manifest, tmp_path / "student")
    asked = [row["text"] for row in texts(30, seed=4)]
    vectors = served(outcome, folder, asked)
    energy = np.square(vectors).mean(axis=0)
    assert energy[0] == energy.max()  # the first dimensions tell most
    shorter = served(outcome, folder, asked, dimensions=3)
    np.testing.assert_allclose(np.linalg.norm(shorter, axis=1), 1, atol=1e-5)


def test_vectors_of_another_teacher_are_learnt_from_inherited_weights(
    shelf: Shelf, teacher: ModelRef, tmp_path: Path
) -> None:
    directions = np.random.default_rng(0).standard_normal((2, 6))

    def scored(count: int, seed: int, *, unsaid: int = 0) -> list[Row]:
        rows = tiny_examples(count, seed=seed)
        vectors = [directions[0] + directions[1] * (row["label"] == "good") for row in rows]
        found = [
            {"text": row["text"], "teacher_scores": vector.round(3).tolist()}
            for row, vector in zip(rows, vectors, strict=True)
        ]
        return found + texts(unsaid, seed=9)

    data = add(shelf, tmp_path, train=scored(200, 0, unsaid=5), dev=scored(60, 1))
    request = shelf.request(
        teacher, data, "distillation", target=SMALL, training=TRAINING | {"epochs": 12}, exports=["fp32"]
    )
    outcome = succeeded(request, tmp_path / "work")
    assert outcome.manifest.dimensions == 6
    assert outcome.report.teacher is None
    assert outcome.report.student.quality["dev"]["cosine"] > 0.9
    assert outcome.report.teacher_scores is not None
    assert outcome.report.teacher_scores.rows == {"train": 200, "dev": 60}


def test_static_students_are_tables_of_any_budget(shelf: Shelf, teacher: ModelRef, tmp_path: Path) -> None:
    data = add(shelf, tmp_path, train=texts(200, seed=0), dev=texts(60, seed=1))
    target = {"max_parameters": 2_000, "vocabulary_size": 120}
    request = shelf.request(teacher, data, "static_embedding", target=target, training=TRAINING)
    outcome = succeeded(request, tmp_path / "work")
    assert outcome.manifest.dimensions == 16
    assert outcome.manifest.parameters == 16 * outcome.manifest.architecture.vocabulary
    assert outcome.report.student.quality["dev"]["spearman"] > 0.2
    assert outcome.manifest.exports["int8"].label_agreement > 0.9

    folder = fetch_model(shelf, outcome.manifest, tmp_path / "student")
    asked = [row["text"] for row in texts(5, seed=4)]
    theirs = SentenceTransformer(str(folder), device="cpu").encode(asked)
    np.testing.assert_allclose(served(outcome, folder, asked), theirs, atol=1e-5)
