"""A model that answers questions, from an encoder through the pipeline to its predictor."""

import json
from pathlib import Path

from app.engine.tokenizing import Question
from app.inference.predictors.opening import open_predictor
from app.inference.predictors.predictor import Run
from app.inference.predictors.question_answerer import AnsweringOptions
from app.intake.models.folder import prepare
from tests.tiny import tiny_model_folder, tiny_questions
from tests.worker.requests import Shelf, fetch_model, run_here
from worker.runner.protocol import Succeeded


def test_a_teacher_that_says_where_there_is_no_answer(tmp_path: Path) -> None:
    shelf, paths = Shelf(tmp_path / "shelf"), {}
    for seed, (split, count) in enumerate({"train": 320, "dev": 48, "test": 48}.items()):
        rows = [row | {"language": "en"} for row in tiny_questions(count, seed=seed)]
        paths[split] = tmp_path / f"{split}.jsonl"
        paths[split].write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = shelf.add_files(paths, task="question_answering")
    encoder = shelf.add_model(tiny_model_folder(shelf.root / "encoder"))
    training = {"learning_rate": 4e-3, "epochs": 8, "max_length": 12}
    request = shelf.request(encoder, dataset, "fine_tuning", training=training, exports=["fp32"])
    outcome, _ = run_here(request, tmp_path / "work")
    assert isinstance(outcome, Succeeded), outcome
    quality = outcome.report.student.quality
    assert outcome.report.trivial_baseline["dev"] == 0.25
    assert min(quality["dev"]["f1"], quality["test"]["f1"]) > 0.8
    assert outcome.manifest.exports["fp32"].metric == quality["dev"]["f1"]
    assert len(outcome.manifest.thresholds or ()) == 1

    folder = fetch_model(shelf, outcome.manifest, tmp_path / "fetched")
    predictor = open_predictor(outcome.manifest, "fp32", fetch=lambda name: folder / name, threads=1)
    asked = tiny_questions(40, seed=7)
    options = AnsweringOptions()
    texts = predictor.encode([Question(row["question"], row["context"]) for row in asked], options)
    read = predictor.run(Run(texts, options, is_wanted=lambda _: True))
    answers = [predictor.result(row, options).answers[0].text for row in read]
    right = [(row["answers"]["text"] or [""])[0] for row in asked]
    assert sum(one == other for one, other in zip(answers, right, strict=True)) > 32

    (tmp_path / "stored").mkdir()
    again = prepare(folder, tmp_path / "stored")
    assert (again.task, again.architecture) == ("question_answering", outcome.manifest.architecture)
