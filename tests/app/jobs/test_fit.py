"""What a job may ask for: its plan, and what does not fit together."""

import re
from typing import Any

import pytest

from app.core.db.jobs import get_job
from app.domain.methods import METHOD_CARDS
from app.jobs.schemas import PlanRead
from tests.app.jobs.requests import JOBS, TARGET, refused, upload
from tests.tiny import LABELS, PAIR_LABELS, tiny_dataset_files


class TestPlan:
    def test_what_a_job_would_do(self, api, body):
        plan = api.http.post("/v1/plans", json=body).json()
        student = plan["student"]
        assert plan["teacher"]["parameters"] == 25_954
        assert student["shape"]["hidden"] < 32
        assert student["compression_ratio"] >= 2
        assert set(student["parameters"]) == {"embeddings", "encoder", "decoder", "head"}
        # 20 epochs of 256 rows in batches of 64, and as many more while quality rises
        assert (plan["estimate"]["steps"], plan["estimate"]["max_steps"]) == (80, 160)
        assert api.rows()["jobs"] == 0

    def test_validate_only_answers_the_same(self, api, body):
        response = api.http.post("/v1/jobs", params={"validate_only": True}, json=body)
        assert response.status_code == 200
        assert response.json() == api.http.post("/v1/plans", json=body).json()
        assert api.rows()["jobs"] == 0

    def test_the_job_keeps_the_plan_that_was_shown(self, api, body):
        plan = api.http.post("/v1/plans", json=body).json()
        job_id = api.http.post("/v1/jobs", json=body).json()["id"]
        with api.database.reading() as session:
            job = get_job(session, job_id)
        assert PlanRead(**vars(job.read_plan())).model_dump(mode="json") == plan

    def test_sizes_by_their_former_names(self, api, body):
        for name in ("vocabulary", "embedding"):
            problem = refused(api, body | {"target": TARGET | {name: 100}}, "invalid_request")
            assert problem["errors"][0]["pointer"] == f"#/target/{name}"

    def test_fine_tuning_keeps_the_size(self, api, body, encoder_archive):
        encoder = api.upload_model(encoder_archive).json()["id"]
        body |= {"teacher": encoder, "method": {"name": "fine_tuning"}, "target": None}
        plan = api.http.post("/v1/plans", json=body).json()
        assert plan["student"]["shape"] == plan["teacher"]["shape"]
        assert plan["student"]["compression_ratio"] == 1


class TestFit:
    def test_no_such_teacher(self, api, body):
        refused(api, body | {"teacher": "mdl_" + "0" * 26}, "model_not_found", status=404)

    def test_no_such_data_set(self, api, body):
        refused(api, body | {"dataset": "dst_" + "0" * 26}, "dataset_not_found", status=404)

    def test_a_teacher_without_a_head(self, api, body, encoder_archive):
        body["teacher"] = api.upload_model(encoder_archive).json()["id"]
        problem = refused(api, body, "teacher_has_no_head", status=409, by=JOBS)
        assert "fine_tuning job first" in problem["detail"]

    def test_other_labels(self, api, body, tmp_path):
        files = tiny_dataset_files(tmp_path / "pairs", pairs=True)
        body["dataset"] = api.upload_dataset(files).json()["id"]
        problem = refused(api, body, "label_mismatch")
        assert (problem["model_labels"], problem["dataset_labels"]) == (LABELS, PAIR_LABELS)
        assert "negative, positive" in problem["detail"]
        assert "different, same" in problem["detail"]

    def test_the_same_labels_in_another_order(self, api, body, dataset_files):
        dataset = api.upload_dataset(dataset_files, labels='["positive", "negative"]').json()
        plan = api.http.post("/v1/plans", json=body | {"dataset": dataset["id"]}).json()
        assert "[negative, positive]" in plan["student"]["advice"][0]["message"]
        assert plan["student"]["advice"][0]["about"] == "labels"

    def test_fine_tuning_takes_any_labels(self, api, body, tmp_path):
        files = tiny_dataset_files(tmp_path / "pairs", pairs=True)
        body |= {"dataset": api.upload_dataset(files).json()["id"], "method": {"name": "fine_tuning"}}
        assert api.http.post("/v1/jobs", json=body | {"target": None}).status_code == 202

    def test_a_target_where_the_size_is_kept(self, api, body):
        refused(api, body | {"method": {"name": "fine_tuning"}}, "target_not_allowed")

    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, method in METHOD_CARDS.items()
            if not method.keeps_size and "text_classification" in method.tasks
        ],
    )
    def test_no_target_where_the_size_shrinks(self, api, body, name):
        refused(api, body | {"method": {"name": name}, "target": None}, "target_required")

    @pytest.mark.parametrize(
        "target",
        [
            {"max_parameters": 10**6},
            {"max_size_mb": 100},
            {"shape": {"layers": 3, "hidden": 32, "heads": 2, "ffn": 64}},
            {"shape": {"layers": 2, "hidden": 32, "heads": 2, "ffn": 64}},
        ],
    )
    def test_a_target_no_smaller_than_the_teacher(self, api, body, target):
        assert "teacher" in refused(api, body | {"target": target}, "target_too_large")["detail"]

    def test_a_target_below_the_embeddings_names_the_smallest(self, api, body):
        problem = refused(api, body | {"target": {"max_parameters": 100}}, "target_too_small")
        size, ratio = re.findall(r"(\d+\.\d+) MB in fp32, compression ratio (\d+\.\d+)", problem["detail"])[0]
        for reachable in (
            {"max_parameters": problem["smallest_parameters"]},
            {"max_size_mb": float(size)},
            {"compression_ratio": float(ratio)},
        ):
            assert api.http.post("/v1/plans", json=body | {"target": reachable}).status_code == 200
        assert f"{problem['smallest_parameters']:,}" in problem["detail"]

    def test_a_length_beyond_the_model(self, api, body):
        problem = refused(api, body | {"training": {"max_length": 65}}, "max_length_too_large")
        assert problem["errors"][0]["pointer"] == "#/training/max_length"
        assert problem["largest"] == 64

    def test_the_default_length_gives_way(self, api, body):
        job = api.http.post("/v1/jobs", json=body).json()
        assert job["training"]["max_length"] == 64


class TestGate:
    @staticmethod
    def gated(body: dict[str, Any], small_model: str) -> dict[str, Any]:
        return body | {
            "method": {"name": "weight_squeezing", "gate": {"small_model": small_model}},
            "target": None,
        }

    def test_the_small_model_is_the_target(self, api, body, tmp_path):
        small = upload(api, tmp_path, layers=1, hidden=16, ffn=32)
        plan = api.http.post("/v1/plans", json=self.gated(body, small)).json()
        shape = {"layers": 1, "hidden": 16, "heads": 2, "ffn": 32}
        assert plan["student"]["shape"] == shape | {"rank": None, "embedding": None}
        same = self.gated(body, small) | {"target": {"shape": plan["student"]["shape"]}}
        created = api.http.post("/v1/jobs", json=same)
        assert created.status_code == 202
        with api.database.reading() as session:
            inputs = dict(get_job(session, created.json()["id"]).inputs)
        assert inputs == {"teacher": body["teacher"], "small_model": small}
        assert api.http.delete(f"/v1/models/{small}").json()["type"].endswith("model_in_use")

    def test_another_target(self, api, body, tmp_path):
        small = upload(api, tmp_path, layers=1, hidden=16, ffn=32)
        refused(api, self.gated(body, small) | {"target": TARGET}, "target_not_allowed")

    def test_another_family(self, api, body, tmp_path):
        small = upload(api, tmp_path, layers=1, family="roberta")
        problem = refused(api, self.gated(body, small), "incompatible_small_model")
        assert problem["errors"][0]["pointer"] == "#/method/gate/small_model"

    def test_another_projected_embedding(self, api, body, tmp_path):
        teacher, small = (
            upload(api, tmp_path, family="electra", layers=layers, embedding=8 * layers, labels=LABELS)
            for layers in (2, 1)
        )
        problem = refused(api, self.gated(body, small) | {"teacher": teacher}, "incompatible_small_model")
        assert "projected_embedding is 8, the teacher's 16" in problem["detail"]

    def test_other_labels(self, api, body, tmp_path):
        small = upload(api, tmp_path, layers=1, labels=PAIR_LABELS)
        assert "small model" in refused(api, self.gated(body, small), "label_mismatch")["detail"]

    def test_no_smaller_than_the_teacher(self, api, body, tmp_path):
        refused(api, self.gated(body, upload(api, tmp_path, layers=3)), "target_too_large")

    def test_no_such_model(self, api, body):
        refused(api, self.gated(body, "mdl_" + "0" * 26), "model_not_found", status=404)
