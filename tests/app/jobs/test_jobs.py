"""Planning, queueing, listing and cancelling jobs."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import redis

from app.core.db.job_queue import claim_job
from app.core.db.jobs import Job, get_job, lock_job, move
from app.core.settings import DEFAULT_QUEUE
from app.domain.architectures import ParameterCount
from app.domain.documents.report import JobReport, ModelReport
from app.domain.job_states import JobStatus
from app.domain.methods import METHOD_SPECS
from tests.app.jobs.requests import TARGET, refused

REPORT = JobReport(
    metric="accuracy",
    trivial_baseline={"dev": 0.5},
    teacher=None,
    student=ModelReport(
        quality={"dev": {"accuracy": 0.8}},
        parameters=ParameterCount(embeddings=10, encoder=15, head=5),
        total_parameters=30,
        exports={},
    ),
    ratios=None,
    method={},
    seconds={},
)


class TestMethods:
    def test_each_has_a_card_and_a_schema(self, api):
        methods = {method["name"]: method for method in api.http.get("/v1/methods").json()["data"]}
        assert set(methods) == {*METHOD_SPECS, "auto"}
        assert methods["fine_tuning"]["targets"] == []
        assert not methods["fine_tuning"]["needs_head"]
        knob = methods["weight_squeezing"]["parameters"]["properties"]["initial_map"]
        assert knob["default"] == "pca"
        assert knob["description"]
        assert all(method["summary"] and method["when"] for method in methods.values())

    def test_what_each_reaches(self, api):
        methods = {method["name"]: method for method in api.http.get("/v1/methods").json()["data"]}
        assert "translation" in methods["weight_distillation"]["tasks"]
        assert methods["pea_kd"]["tasks"] == ["text_classification"]
        assert "max_latency_ms" in methods["low_rank"]["targets"]
        papers = {name for name, method in methods.items() if method["papers"]}
        assert papers == set(methods) - {"fine_tuning", "scratch", "tfidf"}

    def test_every_knob_says_what_it_does(self, api):
        for method in api.http.get("/v1/methods").json()["data"]:
            for name, knob in method["parameters"]["properties"].items():
                assert name == "name" or knob["description"], (method["name"], name)


class TestBody:
    @pytest.mark.parametrize(
        ("changes", "pointer", "words"),
        [
            ({"method": {"name": "magic"}}, "#/method", ["magic", "weight_squeezing"]),
            ({"method": {}}, "#/method", ["name"]),
            (
                {"method": {"name": "distillation", "distillation": {"temperature": 0}}},
                "#/method/distillation/temperature",
                ["method distillation", "distillation.temperature", "greater than 0"],
            ),
            (
                {"method": {"name": "weight_squeezing", "initial_map": "x"}},
                "#/method/initial_map",
                ["method weight_squeezing", "initial_map", "'select'"],
            ),
            ({"method": {"name": "scratch", "knob": 1}}, "#/method/knob", ["method scratch", "knob"]),
            ({"target": {}}, "#/target", ["exactly one"]),
            ({"target": {"compression_ratio": 2, "max_size_mb": 1}}, "#/target", ["exactly one"]),
            ({"target": {"compression_ratio": 0.5}}, "#/target/compression_ratio", ["greater than 1"]),
            (
                {"target": {"shape": {"layers": 0, "hidden": 32, "heads": 2, "ffn": 64}}},
                "#/target/shape/layers",
                ["greater than or equal to 1"],
            ),
            (
                {"target": {"shape": {"layers": 1, "hidden": 32, "heads": 5, "ffn": 64}}},
                "#/target/shape",
                ["hidden (32) must be a multiple of its heads (5)"],
            ),
            (
                {"target": {"shape": {"encoder_layers": 1, "hidden": 32, "heads": 2, "ffn": 64}}},
                "#/target/shape/decoder_layers",
                ["required"],
            ),
            ({"target": {"shape": "small"}}, "#/target/shape", ["dictionary"]),
            ({"teacher": "../x"}, "#/teacher", ["pattern"]),
            ({"training": {"epochs": 0}}, "#/training/epochs", ["greater than 0"]),
            ({"exports": []}, "#/exports", ["at least 1"]),
            ({"exports": ["fp32"] * 3}, "#/exports", ["at most 2"]),
            ({"target": {"max_size_mb": 1e308}}, "#/target/max_size_mb", ["1000000"]),
            ({"other": 1}, "#/other", ["not permitted"]),
        ],
        ids=str,
    )
    def test_the_place_of_the_fault(self, api, body, changes, pointer, words):
        response = api.http.post("/v1/jobs", json=body | changes)
        problem = response.json()
        assert response.status_code == 422
        assert problem["type"] == "urn:squeeze:problem:invalid_request"
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
        assert all(word in problem["errors"][0]["detail"] for word in words), problem
        assert problem["error"]["param"] == pointer.removeprefix("#/").replace("/", ".")
        assert problem["error"]["code"] == "invalid_request"

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"a": NaN}', "\xff"])
    def test_not_a_job(self, api, content):
        headers = {"content-type": "application/json"}
        response = api.http.post("/v1/jobs", content=content.encode("latin-1"), headers=headers)
        assert response.status_code in {400, 422}
        assert response.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
    def test_numbers_that_no_database_keeps(self, api, body, number):
        import json

        body["method"] = {"name": "distillation", "distillation": {"hidden_weight": "NUMBER"}}
        content = json.dumps(body).replace('"NUMBER"', number)
        response = api.http.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
        assert response.status_code == 422, response.json()


class TestCreate:
    def test_queued_and_announced(self, api, body, redis_url):
        response = api.http.post("/v1/jobs", json=body)
        job = response.json()
        assert response.status_code == 202
        assert response.headers["location"] == f"/v1/jobs/{job['id']}"
        assert (job["object"], job["status"], job["attempt"]) == ("job", "queued", 0)
        assert job["progress"]["fraction"] == 0
        assert (job["student"], job["error"], job["started_at"]) == (None, None, None)
        assert job["created_at"].endswith("Z")
        assert api.http.get(f"/v1/jobs/{job['id']}").json() == job
        assert api.app.state.queue.flush(30)
        with redis.Redis.from_url(redis_url) as broker:
            assert (
                job["id"].encode() in broker.lrange(DEFAULT_QUEUE, 0, 0)[0] or broker.llen(DEFAULT_QUEUE) == 1
            )

    def test_a_time_limit(self, api, body):
        job = api.http.post("/v1/jobs", json=body | {"time_limit_s": 90}).json()
        assert (job["time_limit_s"], job["running_s"], job["retry"]) == (90, 0, None)
        with api.database.reading() as session:
            assert get_job(session, job["id"]).read_spec().time_limit_s == 90
        refused(api, body | {"time_limit_s": 0}, "invalid_request")

    def test_a_worker_of_an_earlier_version_reads_a_job_without_a_time_limit(self, api, body):
        """It refuses members that it does not know."""
        job = api.http.post("/v1/jobs", json=body).json()
        with api.database.reading() as session:
            assert "time_limit_s" not in get_job(session, job["id"]).spec

    def test_on_both_databases(self, api_on_both, teacher_archive, dataset_files):
        api = api_on_both
        teacher = api.upload_model(teacher_archive).json()["id"]
        dataset = api.upload_dataset(dataset_files).json()["id"]
        body = {"teacher": teacher, "dataset": dataset, "method": {"name": "scratch"}, "target": TARGET}
        job = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}).json()
        again = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
        assert again.json() == job
        assert api.http.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"

    def test_a_refused_job_is_not_announced(self, api, body, redis_url):
        refused(api, body | {"target": {"max_parameters": 1}}, "target_too_small")
        assert api.app.state.queue.flush(30)
        with redis.Redis.from_url(redis_url) as broker:
            assert broker.llen(DEFAULT_QUEUE) == 0


class TestIdempotency:
    """What holds for all that is created once is in ``tests/app/test_idempotency.py``."""

    @pytest.mark.parametrize("again", ["key-1", '"key-1"'])
    def test_the_same_key_and_body(self, api, body, again):
        first = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": '"key-1"'})
        second = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": again})
        assert (first.status_code, second.status_code) == (202, 202)
        assert second.content == first.content
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["location"] == first.headers["location"]
        assert api.rows()["jobs"] == 1

    def test_the_same_key_and_another_body(self, api, body):
        headers = {"Idempotency-Key": "key-1"}
        first = api.http.post("/v1/jobs", json=body, headers=headers)
        response = api.http.post("/v1/jobs", json=body | {"exports": ["fp32"]}, headers=headers)
        assert response.status_code == 422
        assert response.json()["type"] == "urn:squeeze:problem:idempotency_key_reused"
        assert response.json()["location"] == first.headers["location"]
        assert api.rows()["jobs"] == 1

    def test_what_counts_is_what_was_sent(self, api, body):
        """Neither the order of members nor defaults, which another version may have other ones of."""
        headers = {"Idempotency-Key": "key-1"}
        first = api.http.post("/v1/jobs", json=body, headers=headers).json()
        shuffled = json.dumps(dict(reversed(body.items())), indent=2)
        headers |= {"Content-Type": "application/json"}
        assert api.http.post("/v1/jobs", content=shuffled, headers=headers).json()["id"] == first["id"]
        with_default = body | {"exports": ["fp32", "int8"]}
        response = api.http.post("/v1/jobs", json=with_default, headers=headers)
        assert response.json()["type"] == "urn:squeeze:problem:idempotency_key_reused"

    def test_the_answer_is_the_first_one_whatever_became_of_the_job(self, api, body):
        headers = {"Idempotency-Key": "key-1"}
        first = api.http.post("/v1/jobs", json=body, headers=headers)
        api.http.post(f"{first.headers['location']}/cancel")
        again = api.http.post("/v1/jobs", json=body, headers=headers)
        assert (again.content, again.json()["status"]) == (first.content, "queued")

    def test_a_refused_job_does_not_use_up_the_key(self, api, body):
        headers = {"Idempotency-Key": "key-1"}
        bad = body | {"target": {"max_parameters": 1}}
        assert api.http.post("/v1/jobs", json=bad, headers=headers).status_code == 422
        assert api.http.post("/v1/jobs", json=body, headers=headers).status_code == 202

    def test_neither_does_one_that_is_only_validated(self, api, body):
        headers = {"Idempotency-Key": "key-1"}
        plan = api.http.post("/v1/jobs", params={"validate_only": True}, json=body, headers=headers)
        assert plan.json()["object"] == "plan"
        assert api.http.post("/v1/jobs", json=body, headers=headers).json()["object"] == "job"

    @pytest.mark.parametrize("key", ["", '""', "x" * 256])
    def test_keys_that_are_none(self, api, body, key):
        response = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        assert response.json()["type"] == "urn:squeeze:problem:invalid_idempotency_key"

    def test_a_race(self, api, body):
        """One request has its job created; the others are told to come again, or get its answer."""
        start = threading.Barrier(8)

        def create(_: int) -> Any:
            start.wait()
            return api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "key-1"})

        with ThreadPoolExecutor(8) as pool:
            responses = list(pool.map(create, range(8)))
        responses.append(api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "key-1"}))
        assert responses[-1].headers["idempotent-replayed"] == "true"
        assert {response.status_code for response in responses} <= {202, 409}
        answers = [response for response in responses if response.status_code == 202]
        assert len({response.content for response in answers}) == 1
        assert sum("idempotent-replayed" not in response.headers for response in answers) == 1
        assert api.rows()["jobs"] == 1


class TestList:
    def test_newest_first_and_by_status(self, api, body):
        ids = [api.http.post("/v1/jobs", json=body).json()["id"] for _ in range(3)]
        api.http.post(f"/v1/jobs/{ids[1]}/cancel")
        page = api.http.get("/v1/jobs", params={"limit": 2}).json()
        assert [job["id"] for job in page["data"]] == [ids[2], ids[1]]
        assert page["has_more"]
        queued = api.http.get("/v1/jobs", params={"status": "queued"}).json()
        assert [job["id"] for job in queued["data"]] == [ids[2], ids[0]]
        assert api.http.get("/v1/jobs", params={"status": "lost"}).status_code == 422


class TestGet:
    def test_not_found(self, api):
        assert api.http.get("/v1/jobs/job_x").json()["type"] == "urn:squeeze:problem:job_not_found"

    def test_what_the_worker_wrote(self, api, body):
        job_id = api.http.post("/v1/jobs", json=body).json()["id"]
        with api.database.transaction() as session:
            claim_job(session, job_id, owner="w", lease=timedelta(seconds=30))
        with api.database.transaction() as session:
            job = lock_job(session, job_id)
            job.progress = {"stage": "train", "step": 5, "total_steps": 10, "fraction": 0.5, "eta_s": 3.5}
            job.report = REPORT.to_stored()
            job.error_code, job.error_message = "teacher_not_trained", "Train it."
            move(session, job, JobStatus.FAILED)
        job = api.http.get(f"/v1/jobs/{job_id}").json()
        assert job["status"] == "failed"
        assert job["progress"]["fraction"] == 0.5
        assert job["metrics"]["teacher"] is None
        assert job["metrics"] == REPORT.model_dump()
        assert job["error"] == {"code": "teacher_not_trained", "message": "Train it."}
        assert job["started_at"] <= job["finished_at"]


class TestCancel:
    def test_a_queued_job_ends_at_once(self, api, body):
        job_id = api.http.post("/v1/jobs", json=body).json()["id"]
        job = api.http.post(f"/v1/jobs/{job_id}/cancel").json()
        assert job["status"] == "cancelled"
        assert job["finished_at"] is not None

    def test_a_running_job_is_asked_to_stop(self, api, body):
        job_id = api.http.post("/v1/jobs", json=body).json()["id"]
        with api.database.transaction() as session:
            claim_job(session, job_id, owner="w", lease=timedelta(seconds=30))
        first = api.http.post(f"/v1/jobs/{job_id}/cancel").json()
        second = api.http.post(f"/v1/jobs/{job_id}/cancel").json()
        assert first["status"] == second["status"] == "running"
        assert first["cancel_requested_at"] == second["cancel_requested_at"] is not None

    def test_conflict_when_already_finished(self, api, body):
        job_id = api.http.post("/v1/jobs", json=body).json()["id"]
        api.http.post(f"/v1/jobs/{job_id}/cancel")
        response = api.http.post(f"/v1/jobs/{job_id}/cancel")
        assert response.status_code == 409
        assert response.json()["type"] == "urn:squeeze:problem:job_already_finished"
        assert response.headers["x-should-retry"] == "false"

    def test_not_found(self, api):
        assert api.http.post("/v1/jobs/job_x/cancel").status_code == 404


def test_a_model_deleted_while_a_job_is_created(api, body):
    """The job holds the teacher's row, so that one of the two loses."""
    from app.core.db.models import lock_model

    with ThreadPoolExecutor(1) as pool:
        with api.database.transaction() as session:
            lock_model(session, body["teacher"], "share")
            deletion = pool.submit(api.http.delete, f"/v1/models/{body['teacher']}")
            session.add(
                Job(
                    spec={}, inputs={"teacher": body["teacher"]}, dataset_id=body["dataset"], method="scratch"
                )
            )
        assert deletion.result(timeout=20).status_code == 409
