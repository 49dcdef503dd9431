import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model_folder, tiny_scored_examples
from tests.worker.compression import MemoryContext, encoded, make_data, make_teacher
from tests.worker.requests import Shelf, run_here
from worker.data.batches import collate
from worker.distillation.teacher_outputs import cached_logits
from worker.evaluation.evaluate import predict_logits
from worker.networks.target_scaling import TargetScaler
from worker.runner.protocol import ModelRef, Succeeded
from worker.vocabulary.trimming import count_pieces, trim_vocabulary

CPU = torch.device("cpu")
FAMILIES = ["bert", "roberta", "distilbert", "xlm-roberta"]


def scored(mean, spread):
    """Data of balances, stretched."""
    data = make_data("text_regression")
    train = data.train.labels * spread + mean
    train[3] = np.nan
    return replace(data, train=replace(data.train, labels=train.astype(np.float32)))


class TestScale:
    @pytest.mark.parametrize(("mean", "spread"), [(0, 1), (-2, 1.5), (3, 0.5)])
    def test_scores_of_about_one_are_learnt_as_they_are(self, mean, spread):
        data = scored(mean, spread)
        scale = TargetScaler.of(data)
        assert scale.is_plain
        assert scale.data(data) is data

    def test_other_tasks_have_none(self):
        assert TargetScaler.of(make_data("token_classification")).is_plain

    @pytest.mark.parametrize(("mean", "spread"), [(300, 1), (0, 100), (0, 1e-3), (-1e6, 1e4), (9, 2), (5, 1)])
    def test_others_get_mean_0_and_spread_1(self, mean, spread):
        data = scored(mean, spread)
        scaled = TargetScaler.of(data).data(data)
        assert np.isnan(scaled.train.labels[3])
        assert np.nanmean(scaled.train.labels) == pytest.approx(0, abs=1e-3)
        assert np.nanstd(scaled.train.labels) == pytest.approx(1, abs=1e-2)
        order = np.argsort(data.dev.labels, kind="stable")
        assert np.array_equal(np.argsort(scaled.dev.labels, kind="stable"), order)

    def test_one_score_for_all_is_only_moved(self):
        data = scored(300, 0)
        assert np.nanmax(np.abs(TargetScaler.of(data).data(data).train.labels)) == 0

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_teacher_answers_on_it_and_comes_back(self, family, tmp_path):
        data = scored(300, 80)
        teacher = make_teacher(family, task="text_regression")
        scale = TargetScaler.of(data)
        answers = predict_logits(teacher.network, data.dev, pad_id=0, device=CPU)
        scaled = scale.teacher(teacher)
        on_it = predict_logits(scaled.network, data.dev, pad_id=0, device=CPU)
        assert np.allclose(on_it, (answers - scale.mean) / scale.spread, atol=1e-5)
        assert np.array_equal(predict_logits(teacher.network, data.dev, pad_id=0, device=CPU), answers)
        assert scaled.digest != teacher.digest
        scale.restore(scaled.network)
        assert np.allclose(predict_logits(scaled.network, data.dev, pad_id=0, device=CPU), answers, atol=1e-3)

    def test_the_teacher_with_all_its_words_answers_on_it_as_well(self, tmp_path):
        """A trimmed teacher's rows are judged by it."""
        scale = TargetScaler.of(scored(300, 80))
        teacher = make_teacher(task="text_regression")
        counts = count_pieces([make_data("text_regression").train], teacher.architecture.vocabulary)
        scaled = scale.teacher(trim_vocabulary(teacher, counts, 70, task="text_regression"))
        columns = {"text": [example["text"] for example in tiny_scored_examples(20)]}
        split = encoded("text_regression", columns, scaled, max_length=64)
        assert split.untrimmed is not None
        answers = predict_logits(teacher.network, split.untrimmed, pad_id=0, device=CPU)
        logits = cached_logits(scaled, split, pad_id=0, context=MemoryContext(tmp_path))
        rows = collate(split, np.arange(20), pad_id=0, device=CPU)
        assert np.allclose(logits(rows).numpy(), (answers - scale.mean) / scale.spread, atol=0.03)


def test_scores_in_the_hundreds_are_learnt(tmp_path: Path) -> None:
    """By a head drawn anew, and from a teacher who has one: as numbers, not only in their order."""
    shelf = Shelf(tmp_path)
    paths = {}
    for seed, (split, rows) in enumerate({"train": 512, "dev": 64}.items()):
        examples = [e | {"score": 700 + 60 * e["score"]} for e in tiny_scored_examples(rows, seed=seed)]
        paths[split] = tmp_path / f"{split}.jsonl"
        paths[split].write_text("\n".join(map(json.dumps, examples)))
    dataset = shelf.add_files(paths, task="text_regression")
    encoder = shelf.add_model(tiny_model_folder(tmp_path / "encoder"))
    training = {"learning_rate": 3e-3, "epochs": 12}
    request = shelf.request(encoder, dataset, "fine_tuning", training=training)
    outcome, _ = run_here(request, tmp_path / "teacher")
    assert isinstance(outcome, Succeeded), outcome
    variance = float(np.var([json.loads(line)["score"] for line in paths["dev"].read_text().splitlines()]))
    assert outcome.metrics["dev"]["mse"] < 0.2 * variance

    teacher = ModelRef(id=request.student_id, manifest=outcome.manifest)
    request = shelf.request(
        teacher,
        dataset,
        {"name": "weight_squeezing", "distillation": {}},
        target={"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}},
        training=training,
    )
    student, _ = run_here(request, tmp_path / "student")
    assert isinstance(student, Succeeded), student
    assert student.metrics["dev"]["mse"] < 0.3 * variance
