"""Teachers, data sets, methods and targets of every task: what is planned and what is refused."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from app.core.db.jobs import Job
from app.domain.architectures import (
    Architecture,
    EncoderArchitecture,
    EncoderShape,
)
from app.domain.documents import TrainingSpec
from app.domain.methods import METHOD_CARDS
from app.domain.tasks import TASKS, Task
from tests.app.conftest import Api, make_settings, run_api
from tests.app.jobs.shelf import BILSTM, ENCODER, LABELS, TFIDF, TRANSLATOR, add_dataset, add_model

PAIRS = [(name, task) for name, method in METHOD_CARDS.items() for task in TASKS if task in method.tasks]
UNABLE = [(name, task) for name, method in METHOD_CARDS.items() for task in TASKS if task not in method.tasks]
NEEDING_A_HEAD = [(name, task) for name, task in PAIRS if METHOD_CARDS[name].needs_head]
NOTHING_TO_KNOW = ("translation", "sentence_embedding")
"""A translation model knows nothing else, and any encoder has vectors."""
SMALL = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)
XLM_R_LARGE = EncoderArchitecture(
    family="xlm-roberta",
    shape=EncoderShape(layers=24, hidden=1024, heads=16, ffn=4096),
    vocabulary=250_002,
    positions=514,
    token_types=1,
)
FIRST = {"encoder_layers": 2, "decoder_layers": 1, "hidden": 64, "heads": 2, "ffn": 128}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Api]:
    """One app for all: what is registered for one test is not in the way of another."""
    yield from run_api(make_settings(tmp_path_factory.mktemp("app"), database_url=postgres_url))


def teacher_card(task: Task) -> Architecture:
    return TRANSLATOR if task == "translation" else ENCODER


def job(api: Api, name: str, task: Task, **changes: Any) -> dict[str, Any]:
    """The body of a job that fits: a teacher that knows the task, a data set, a target where one is due."""
    keeps_size = METHOD_CARDS[name].keeps_size
    body = {
        "dataset": changes.pop("dataset", None) or add_dataset(api, task),
        "method": {"name": name},
        "target": None if keeps_size else {"compression_ratio": 1.5},
    }
    if "teacher" not in changes:
        body["teacher"] = add_model(api, teacher_card(task), task)
    return body | changes


def planned(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    response = api.http.post("/v1/plans", json=body)
    assert response.status_code == 200, response.json()
    return response.json()


def refused(api: Api, body: dict[str, Any], code: str, pointer: str | None, *, status: int = 422) -> str:
    """The sentence of the problem, which a plan and a job both answer with."""
    before = api.rows()["jobs"]
    for path in ("/v1/plans", "/v1/jobs"):
        response = api.http.post(path, json=body)
        problem = response.json()
        assert (response.status_code, problem["type"]) == (status, f"urn:squeeze:problem:{code}"), problem
        assert [fault["pointer"] for fault in problem["errors"]] == ([pointer] if pointer else [])
    assert api.rows()["jobs"] == before
    return problem["detail"]


class TestMethodAndTask:
    @pytest.mark.parametrize(("name", "task"), PAIRS)
    def test_a_plan(self, api, name, task):
        plan = planned(api, job(api, name, task))
        student, teacher = plan["student"], plan["teacher"]
        if METHOD_CARDS[name].keeps_size:
            assert student["shape"] == teacher["shape"]
        else:
            assert student["compression_ratio"] >= 1.5
        assert sum(student["parameters"].values()) * 4 / 1e6 == pytest.approx(student["size_mb"]["fp32"])
        shares = student["budget"]
        assert sum(shares.values()) - shares["parameters"] == pytest.approx(1)
        assert (student["parameters"]["decoder"] > 0) == (task == "translation")
        assert plan["estimate"]["seconds"] > 0

    @pytest.mark.parametrize(("name", "task"), UNABLE)
    def test_a_method_on_a_task_that_it_cannot_do(self, api, name, task):
        detail = refused(api, job(api, name, task), "method_not_supported_for_task", "#/method/name")
        assert task in detail
        assert all(able in detail for able in METHOD_CARDS[name].tasks)


class TestTeacher:
    @pytest.mark.parametrize(("name", "task"), NEEDING_A_HEAD)
    def test_that_knows_another_task(self, api, name, task):
        if task in NOTHING_TO_KNOW:
            return
        other = next(other for other in TASKS if other not in (task, "translation"))
        body = job(api, name, task, teacher=add_model(api, ENCODER, other))
        assert other in refused(api, body, "task_mismatch", "#/dataset")

    @pytest.mark.parametrize("task", [task for task in TASKS if task not in NOTHING_TO_KNOW])
    def test_without_a_head(self, api, task):
        body = job(api, "distillation", task, teacher=add_model(api, ENCODER, None))
        for path in ("/v1/jobs", "/v1/jobs?validate_only=true"):
            response = api.http.post(path, json=body)
            problem = response.json()
            assert response.status_code == 409
            assert problem["type"].endswith("teacher_has_no_head")
            assert "fine_tuning job first" in problem["detail"]
            assert task in problem["detail"]

    @pytest.mark.parametrize("task", [task for task in TASKS if task not in NOTHING_TO_KNOW])
    def test_that_is_still_to_be_taught_can_be_planned_for(self, api, task):
        dataset = add_dataset(api, task)
        encoder, taught = (
            planned(
                api, job(api, "distillation", task, dataset=dataset, teacher=add_model(api, ENCODER, knows))
            )
            for knows in (None, task)
        )
        caveat, *advice = encoder["student"]["advice"]
        assert caveat["about"] == "teacher"
        assert "run that job first" in caveat["message"]
        assert advice == taught["student"]["advice"]
        assert encoder["student"]["shape"] == taught["student"]["shape"]
        assert encoder["estimate"] == taught["estimate"]

    @pytest.mark.parametrize("name", ["fine_tuning", "scratch"])
    @pytest.mark.parametrize("knows", [None, "masked_language_modeling", "text_regression"])
    def test_that_gets_a_new_head(self, api, name, knows):
        body = job(api, name, "text_classification", teacher=add_model(api, ENCODER, knows))
        assert planned(api, body)["student"]["parameters"]["head"] == 384 * 384 + 384 + 2 * 385 or (
            name == "scratch"
        )

    def test_of_other_tags(self, api):
        teacher = add_model(api, ENCODER, "token_classification", labels=["O", "B-PER", "I-PER"])
        body = job(api, "distillation", "token_classification", teacher=teacher)
        assert "B-PER" in refused(api, body, "label_mismatch", "#/dataset")

    @pytest.mark.parametrize(
        "tags",
        [["B-LOC", "I-LOC", "O"], ["I-LOC", "O"], ["O", "LOC", "PER"], ["O", "S-LOC", "B-LOC"]],
    )
    def test_of_the_same_kinds_in_another_order_or_scheme(self, api, tags):
        teacher = add_model(api, ENCODER, "token_classification", labels=tags)
        plan = planned(api, job(api, "distillation", "token_classification", teacher=teacher))
        assert plan["student"]["advice"][0]["about"] == "labels"
        assert plan["student"]["parameters"]["head"] % len(tags) == 0

    def test_that_knows_more_labels(self, api):
        teacher = add_model(api, ENCODER, "text_classification", labels=["odd", *LABELS[::-1]])
        plan = planned(api, job(api, "distillation", "text_classification", teacher=teacher))
        assert "No row of it has [odd]." in plan["student"]["advice"][0]["message"]

    @pytest.mark.parametrize(
        ("theirs", "ours", "advice"),
        [
            (["LABEL_0", "LABEL_1"], LABELS, "register the teacher with 'labels'"),
            (LABELS, ["0", "1"], "register the data set with 'labels'"),
            (["LABEL_0", "LABEL_1"], ["0", "1"], "Give both names"),
            (["good", "bad"], LABELS, "or fine-tune it on this one"),
        ],
    )
    def test_whose_labels_cannot_be_matched_by_name(self, api, theirs, ours, advice):
        teacher = add_model(api, ENCODER, "text_classification", labels=theirs)
        dataset = add_dataset(api, "text_classification", labels=ours)
        body = job(api, "distillation", "text_classification", teacher=teacher, dataset=dataset)
        assert advice in refused(api, body, "label_mismatch", "#/dataset")

    @pytest.mark.parametrize(
        ("architecture", "task", "words"),
        [
            (ENCODER, "translation", "cannot translate"),
            (TRANSLATOR, "text_classification", "translation model"),
            (BILSTM, "translation", "BiLSTM"),
            (BILSTM, "text_regression", "BiLSTM"),
        ],
    )
    @pytest.mark.parametrize("name", ["fine_tuning", "scratch", "distillation"])
    def test_of_another_kind(self, api, name, architecture, task, words):
        body = job(api, name, task, teacher=add_model(api, architecture, None))
        assert words in refused(api, body, "incompatible_teacher", "#/teacher")

    @pytest.mark.parametrize("name", ["fine_tuning", "distillation", "tfidf"])
    def test_nothing_is_made_of_tfidf(self, api, name):
        teacher = add_model(api, TFIDF, "text_classification")
        body = job(api, name, "text_classification", teacher=teacher)
        assert "TF-IDF" in refused(api, body, "incompatible_teacher", "#/teacher")

    def test_a_bilstm_is_trained_further_but_not_compressed(self, api):
        teacher = add_model(api, BILSTM, "token_classification")
        body = job(api, "fine_tuning", "token_classification", teacher=teacher)
        assert planned(api, body)["student"]["architecture"]["family"] == "bilstm"
        body = job(api, "bilstm", "token_classification", teacher=teacher)
        refused(api, body, "incompatible_teacher", "#/teacher")

    def test_no_split_with_answers(self, api):
        dataset = add_dataset(api, "text_classification", splits=("unlabeled",))
        body = job(api, "distillation", "text_classification", dataset=dataset)
        assert "no train and no dev split" in refused(api, body, "missing_splits", "#/dataset")


class TestNoTeacher:
    def first(self, api: Api, **changes: Any) -> dict[str, Any]:
        target = {"shape": FIRST, "vocabulary_size": 2000}
        return job(api, "scratch", "translation", target=target, teacher=None) | changes

    def test_scratch_makes_a_translation_model(self, api):
        body = self.first(api)
        plan = planned(api, body)
        assert plan["teacher"] is None
        assert plan["student"]["architecture"]["vocabulary"] == 2000
        assert plan["student"]["compression_ratio"] is None
        del body["teacher"]
        created = api.http.post("/v1/jobs", json=body)
        assert created.status_code == 202
        assert created.json()["teacher"] is None
        assert api.http.get(f"/v1/jobs/{created.json()['id']}").json()["teacher"] is None
        with api.database.transaction() as session:
            assert session.get(Job, created.json()["id"]).inputs == {}

    @pytest.mark.parametrize("name", [name for name in METHOD_CARDS if name not in ("scratch", "tfidf")])
    def test_no_other_method_can_do_without(self, api, name):
        """Where there are no teacher_scores either."""
        task = METHOD_CARDS[name].tasks[0]
        refused(api, job(api, name, task, teacher=None), "teacher_required", "#/teacher")

    def test_without_a_shape(self, api):
        body = self.first(api, target={"max_parameters": 10**6})
        refused(api, body, "shape_required", "#/target/shape")
        refused(api, body | {"target": None}, "target_required", "#/target")

    def test_another_task(self, api):
        body = self.first(api, dataset=add_dataset(api, "text_classification"))
        detail = refused(api, body, "teacher_required", "#/teacher")
        assert detail.endswith("bilstm, tfidf.")  # among the methods that need none


class TestMetric:
    @pytest.mark.parametrize("task", TASKS)
    def test_the_task_s_own(self, api, task):
        for metric in get_args(get_args(TrainingSpec.model_fields["metric"].annotation)[0]):
            name = "fine_tuning" if task in METHOD_CARDS["fine_tuning"].tasks else "distillation"
            body = job(api, name, task, training={"metric": metric})
            if metric in TASKS[task].selecting_metrics:
                planned(api, body)
            else:
                refused(api, body, "metric_not_supported_for_task", "#/training/metric")

    def test_f1_of_three_labels_is_none(self, api):
        dataset = add_dataset(api, "text_classification", labels=["a", "b", "c"])
        body = job(api, "fine_tuning", "text_classification", dataset=dataset, training={"metric": "f1"})
        said = refused(api, body, "metric_not_supported_for_task", "#/training/metric")
        assert "text_classification with 3 labels supports accuracy, macro_f1 and matthews" in said


@pytest.mark.parametrize("term", ["hidden_weight", "patient_weight", "relation_weight"])
def test_a_translator_s_inside_is_not_learnt_from(api, term):
    method = {"name": "distillation", "distillation": {term: 1.0}}
    body = job(api, "distillation", "translation", method=method)
    pointer = f"#/method/distillation/{term}"
    assert "translations only" in refused(api, body, "distillation_terms_not_supported", pointer)
    planned(api, job(api, "distillation", "text_classification", method=method))


def test_vectors_leave_nothing_else_to_learn(api):
    task = "sentence_embedding"
    method = {"name": "distillation", "distillation": {"logits_weight": 0}}
    body = job(api, "distillation", task, method=method)
    pointer = "#/method/distillation/logits_weight"
    assert "teacher's vectors" in refused(api, body, "distillation_terms_not_supported", pointer)
    body = job(api, "low_rank", task, method={"name": "low_rank", "factorisation": "fisher"})
    assert "Use svd" in refused(api, body, "labels_required", "#/method/factorisation")
    body = job(api, "weight_copy", task, target={"compression_ratio": 2, "dimensions": 500})
    assert "have 384" in refused(api, body, "dimensions_not_supported", "#/target/dimensions")


class TestTarget:
    def test_a_depth_that_does_not_divide(self, api):
        shape = TRANSLATOR.shape.model_copy(update={"decoder_layers": 4}).model_dump()
        body = job(api, "weight_distillation", "translation", target={"shape": shape})
        detail = refused(api, body, "depth_not_divisible", "#/target/shape/decoder_layers")
        assert "1, 2, 3, 6" in detail

    def test_a_shape_of_another_kind(self, api):
        body = job(api, "distillation", "translation", target={"shape": SMALL.model_dump()})
        refused(api, body, "invalid_shape", "#/target/shape")

    def test_shared_layers_are_in_the_plan(self, api):
        body = job(api, "pea_kd", "text_classification")
        architecture = planned(api, body)["student"]["architecture"]
        assert len(architecture["schedule"]) == 2 * architecture["shape"]["layers"]

    def test_fewer_words_leave_room(self, api):
        body = job(api, "weight_squeezing", "text_classification", target={"compression_ratio": 4})
        plan = planned(api, body)
        [advice] = [item for item in plan["student"]["advice"] if item["about"] == "vocabulary_size"]
        body["target"]["vocabulary_size"] = advice["value"]
        assert planned(api, body)["student"]["shape"] == advice["shape"]

    @pytest.mark.parametrize(
        ("name", "task"),
        [
            (name, method.tasks[-1])
            for name, method in METHOD_CARDS.items()
            if "max_latency_ms" in method.targets
        ],
    )
    def test_a_latency(self, api, name, task):
        """Half the time of the slowest student is asked for; the plan says that it is an estimate."""
        body = job(api, name, task, target={"max_latency_ms": 10_000})
        slow = planned(api, body)["student"]
        body["target"] = {"max_latency_ms": slow["latency_ms"] / 2}
        response = api.http.post("/v1/plans", json=body)
        if response.status_code == 422:  # a head that costs more than any layer saves
            assert response.json()["type"].endswith("target_too_small")
            return
        quick = response.json()["student"]
        assert quick["latency_ms"] <= slow["latency_ms"] / 2
        assert quick["advice"][0]["about"] == "latency"
        assert "estimate" in quick["advice"][0]["message"]

    def test_no_network_is_so_fast(self, api):
        body = job(api, "scratch", "text_classification", target={"max_latency_ms": 1e-6})
        refused(api, body, "target_too_small", "#/target/max_latency_ms")


def test_long_contexts_are_several_rows(api):
    """Of 256 words or pieces, about 333 tokens, at 128 a window."""
    steps = []
    for words in (20, 256):
        dataset = add_dataset(api, "question_answering", words=words)
        training = {"epochs": 1, "max_length": 128, "batch_size": 10}
        body = job(api, "fine_tuning", "question_answering", dataset=dataset, training=training)
        steps.append(planned(api, body)["estimate"]["steps"])
    assert steps == [100, 400]
