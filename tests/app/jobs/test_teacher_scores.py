"""Jobs on data sets that say themselves what a teacher says: with a network to inherit from, or without."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from app.domain.methods import METHOD_CARDS, METHOD_SPECS
from tests.app.conftest import Api, make_settings, run_api
from tests.app.jobs.shelf import ENCODER, TRANSLATOR, add_dataset, add_model
from tests.app.jobs.test_compatibility import FIRST, planned, refused

TASK = "text_classification"
DISTILLING = [
    name
    for name, card in METHOD_CARDS.items()
    if card.needs_head
    and TASK in card.tasks
    and METHOD_SPECS[name](name=name).with_scores().learns_from_outputs
]
ALL = {"train": {"gpt": 1000}, "dev": {"gpt": 1000}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Api]:
    yield from run_api(make_settings(tmp_path_factory.mktemp("app"), database_url=postgres_url))


def body(
    api: Api, method: str | dict[str, Any], *, teacher: str | None = None, **changes: Any
) -> dict[str, Any]:
    scored = changes.pop("scored", ALL)
    task = changes.pop("task", TASK)
    splits = changes.pop("splits", ("train", "dev"))
    return {
        "teacher": teacher,
        "dataset": add_dataset(api, task, scored=scored, splits=splits, summary=changes.pop("summary", None)),
        "method": {"name": method} if isinstance(method, str) else method,
        "target": {"compression_ratio": 1.5},
    } | changes


def without_head(api: Api, job: dict[str, Any]) -> str:
    """The sentence by which a job is refused that has to learn from a head."""
    problem = api.http.post("/v1/jobs", json=job).json()
    assert problem["type"] == "urn:squeeze:problem:teacher_has_no_head"
    return problem["detail"]


class TestTeacherToInheritFrom:
    @pytest.mark.parametrize("name", DISTILLING)
    def test_needs_no_head(self, api, name):
        plan = planned(api, body(api, name, teacher=add_model(api, ENCODER, None)))
        assert plan["teacher_scores"]["weights"] == {"gpt": 1}
        assert plan["teacher_scores"]["rows"] == {"train": {"gpt": 1000}}
        assert "a new head is initialised" in plan["teacher_scores"]["notes"][0]

    def test_may_have_a_head_for_something_else(self, api):
        other = add_model(api, ENCODER, TASK, labels=["x", "y", "z"])
        assert planned(api, body(api, "weight_copy", teacher=other))["teacher_scores"]

    def test_without_scores_needs_one(self, api):
        job = body(api, "weight_copy", teacher=add_model(api, ENCODER, None), scored={})
        assert "'teacher_scores'" in without_head(api, job)

    def test_learns_from_them_by_default(self, api):
        job = body(api, "weight_squeezing", teacher=add_model(api, ENCODER, None))
        created = api.http.post("/v1/jobs", json=job).json()
        assert created["method"]["distillation"]["logits_weight"] == 0.9

    def test_learns_from_labels_where_that_is_asked(self, api):
        job = body(
            api, {"name": "weight_squeezing", "distillation": None}, teacher=add_model(api, ENCODER, TASK)
        )
        assert planned(api, job)["teacher_scores"] is None
        without_head(api, job | {"teacher": add_model(api, ENCODER, None)})

    def test_is_not_asked_of_rows_with_scores(self, api):
        teacher = add_model(api, ENCODER, TASK)
        seconds = [
            planned(
                api,
                body(api, "distillation", teacher=teacher, scored={"train": {"gpt": rows}} if rows else {}),
            )["estimate"]["seconds"]
            for rows in (0, 400, 800, 1000)
        ]
        assert seconds[0] - seconds[1] == pytest.approx(seconds[1] - seconds[2])
        assert seconds[1] > seconds[2] > seconds[3]

    def test_pea_kd_compares_on_dev(self, api):
        job = body(api, "pea_kd", teacher=add_model(api, ENCODER, None), scored={"train": {"gpt": 1000}})
        assert "on dev, where 1,000 rows" in refused(api, job, "teacher_scores_required", "#/dataset")
        planned(api, job | {"teacher": add_model(api, ENCODER, TASK)})


class TestNotes:
    def notes(self, api: Api, *, teacher: str, **changes: Any) -> list[str]:
        plan = planned(api, body(api, "distillation", teacher=teacher, **changes))
        return plan["teacher_scores"]["notes"]

    def test_rows_without_scores(self, api):
        some = {
            "splits": ("train", "dev", "unlabeled"),
            "scored": {"train": {"gpt": 900}, "unlabeled": {"gpt": 1}},
        }
        with_head = self.notes(api, teacher=add_model(api, ENCODER, TASK), **some)
        assert with_head == [
            "100 rows of train have no teacher_scores: the teacher's own predictions are used there.",
            "999 rows of unlabeled have no teacher_scores: the teacher's own predictions are used there.",
        ]
        without = self.notes(api, teacher=add_model(api, ENCODER, None), **some)
        assert without[1:] == [
            "100 rows of train have no teacher_scores: their labels stand in for them.",
            (
                "999 rows of unlabeled have no teacher_scores: these rows are left out, because there is no "
                "network with a head for the task to ask."
            ),
        ]

    @pytest.mark.parametrize(
        ("labels", "count"), [({"no": 700, "yes": 300}, 1), ({"no": 700, "yes": 1400}, 1), (None, 0)]
    )
    def test_scores_that_contradict_the_labels(self, api, labels, count):
        notes = self.notes(api, teacher=add_model(api, ENCODER, TASK), summary={"labels": labels})
        assert len(notes) == count
        assert all("the labels of 40% of train" in note and "in the order no, yes" in note for note in notes)


class TestWeights:
    def job(self, api: Api, weights: dict[str, Any], **changes: Any) -> dict[str, Any]:
        scored = changes.pop("scored", {"train": {"gpt": 1000, "bert": 1000}})
        teacher = add_model(api, ENCODER, TASK)
        return body(api, "distillation", teacher=teacher, teacher_weights=weights, scored=scored, **changes)

    def test_sum_to_one(self, api):
        plan = planned(api, self.job(api, {"gpt": 3, "bert": 1}))
        assert plan["teacher_scores"]["weights"] == {"gpt": 0.75, "bert": 0.25}
        assert planned(api, self.job(api, {"bert": 7}))["teacher_scores"]["weights"] == {"bert": 1}

    def test_are_kept_with_the_job(self, api):
        created = api.http.post("/v1/jobs", json=self.job(api, {"gpt": 3})).json()
        assert api.http.get(f"/v1/jobs/{created['id']}").json()["teacher_weights"] == {"gpt": 3}

    @pytest.mark.parametrize("weight", [0, -1])
    def test_are_above_zero(self, api, weight):
        response = api.http.post("/v1/plans", json=self.job(api, {"gpt": weight}))
        assert response.json()["errors"][0]["pointer"] == "#/teacher_weights"

    def test_of_nobody(self, api):
        detail = refused(api, self.job(api, {"claude": 1}), "unknown_teachers", "#/teacher_weights")
        assert "scores of bert, gpt" in detail

    def test_without_scores(self, api):
        refused(api, self.job(api, {"gpt": 1}, scored={}), "teacher_weights_not_allowed", "#/teacher_weights")

    def test_of_a_method_that_learns_from_labels(self, api):
        job = self.job(api, {"gpt": 1}) | {"method": {"name": "fine_tuning"}, "target": None}
        refused(api, job, "teacher_weights_not_allowed", "#/teacher_weights")

    def test_of_a_teacher_that_is_silent_of_rows_without_labels(self, api):
        scored = {"train": {"gpt": 1000, "bert": 1000}, "dev": {"gpt": 900, "bert": 100}}
        some = {"scored": scored, "summary": {"labelled_by_teacher": True}}
        detail = refused(api, self.job(api, {"gpt": 1}, **some), "missing_target", "#/teacher_weights")
        assert detail.startswith("100 rows of dev have no label, and no teacher_scores of gpt.")
        planned(api, self.job(api, {"gpt": 1, "bert": 2}, **some))

    def test_texts_are_not_averaged(self, api):
        job = body(
            api,
            "distillation",
            teacher=add_model(api, TRANSLATOR, "translation"),
            task="translation",
            scored={"train": {"a": 10, "b": 10}},
        )
        refused(api, job, "texts_not_averaged", "#/teacher_weights")
        planned(api, job | {"teacher_weights": {"b": 1}})


class TestNoTeacher:
    BILSTM: ClassVar = {"shape": {"embedding": 50, "hidden": 100, "projection": 64}, "vocabulary_size": 2000}

    @pytest.mark.parametrize("task", [TASK, "token_classification"])
    @pytest.mark.parametrize("name", ["bilstm", "distillation"])
    def test_a_bilstm(self, api, task, name):
        plan = planned(api, body(api, name, task=task, target=self.BILSTM))
        assert plan["teacher"] is None
        assert plan["student"]["architecture"]["family"] == "bilstm"
        assert plan["student"]["architecture"]["vocabulary"] == 2000
        assert plan["student"]["compression_ratio"] is None

    @pytest.mark.parametrize("target", [{"max_parameters": 10**6}, {"max_size_mb": 4}])
    def test_the_largest_within_a_size(self, api, target):
        student = planned(api, body(api, "bilstm", target=target))["student"]
        assert 500_000 < sum(student["parameters"].values()) <= 10**6
        assert student["architecture"]["vocabulary"] == 8000

    def test_targets_that_need_a_teacher(self, api):
        for target in ({"compression_ratio": 2}, {"max_latency_ms": 1}):
            detail = refused(api, body(api, "bilstm", target=target), "shape_required", "#/target/shape")
            assert "embedding, hidden and projection (a BiLSTM), or max_parameters or max_size_mb" in detail
        refused(api, body(api, "bilstm", target=None), "target_required", "#/target")
        refused(api, body(api, "bilstm", target={"max_parameters": 1000}), "target_too_small", "#/target")

    def test_a_translation_model(self, api):
        job = body(api, "distillation", task="translation", target={"shape": FIRST})
        assert planned(api, job)["student"]["architecture"]["family"] == "marian"

    @pytest.mark.parametrize("name", ["weight_squeezing", "weight_inherited", "weight_copy", "pea_kd"])
    def test_weights_are_of_a_teacher(self, api, name):
        detail = refused(api, body(api, name), "teacher_required", "#/teacher")
        assert "it need not know the task" in detail

    def test_an_encoder_drawn_at_random_has_no_tokenizer(self, api):
        shape = {"layers": 2, "hidden": 64, "heads": 2, "ffn": 128}
        refused(api, body(api, "distillation", target={"shape": shape}), "shape_required", "#/target/shape")

    def test_hidden_states_are_of_a_network(self, api):
        method = {"name": "distillation", "distillation": {"hidden_weight": 1}}
        detail = refused(
            api,
            body(api, method, target=self.BILSTM),
            "teacher_required",
            "#/method/distillation/hidden_weight",
        )
        assert detail.startswith("hidden_weight is about hidden states")
        job = body(api, {"name": "bilstm", "teacher_layer": 2}, target=self.BILSTM)
        refused(api, job, "teacher_required", "#/method/teacher_layer")

    @pytest.mark.parametrize("name", ["bilstm", "distillation"])
    def test_nothing_to_learn_from(self, api, name):
        job = body(api, name, target=self.BILSTM, scored={})
        assert "a column 'teacher_scores'" in refused(api, job, "teacher_required", "#/teacher")
