"""The report of a job that was run, in its three forms."""

from typing import Any, NamedTuple

import pytest

from app.core.db.comparisons import add_comparison
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job, append_event
from app.core.db.models import Model
from app.domain.documents.events import Message, Metrics
from app.domain.job_states import JobStatus
from app.jobs.report_forms import preferred_form
from tests.app.conftest import Api
from tests.tiny import tiny_model_folder
from tests.worker.requests import Event, Shelf, run_here, storage_of
from worker.runner.protocol import JobRequest, ModelRef, Succeeded

QUICK = {"learning_rate": 2e-3}
SMALL = {"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}}
HTML, MARKDOWN = "text/html", "text/markdown"


class Run(NamedTuple):
    """A job that has run without the service around it."""

    request: JobRequest
    outcome: Succeeded
    events: list[Event]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    shelf = Shelf(tmp_path_factory.mktemp("report"))
    dataset = shelf.add_dataset()
    encoder = shelf.add_model(tiny_model_folder(shelf.root / "encoder"))
    request = shelf.request(encoder, dataset, "fine_tuning", training=QUICK | {"epochs": 5})
    made, _ = run_here(request, shelf.root / "teacher")
    assert isinstance(made, Succeeded), made
    teacher = ModelRef(id=request.student_id, manifest=made.manifest)
    asked = {"controls": True, "gate": {"min_quality": 1.5}}
    request = shelf.request(teacher, dataset, "distillation", target=SMALL, training=QUICK, asked=asked)
    outcome, events = run_here(request, shelf.root / "student")
    assert isinstance(outcome, Succeeded), outcome
    return Run(request, outcome, events)


@pytest.fixture
def job(api: Api, run: Run) -> str:
    return stored(api, run)


def stored(api: Api, run: Run, *, name: str = "film classifier") -> str:
    """The rows that a worker leaves of a job, its teacher, its data and its student."""
    request, outcome = run.request, run.outcome
    with api.database.transaction() as session:
        dataset = Dataset(
            id=request.dataset.id, name=name, manifest_json=request.dataset.manifest.to_stored()
        )
        models = [
            Model(id=given.id, name=name, origin="upload", manifest_json=given.manifest.to_stored())
            for given in request.inputs.values()
        ]
        student = Model(
            id=request.student_id,
            name=name,
            origin="job",
            manifest_json=outcome.manifest.to_stored(),
            job_id=request.job_id,
        )
        job = Job(
            id=request.job_id,
            status=JobStatus.SUCCEEDED,
            spec=request.spec.to_stored(),
            inputs={role: given.id for role, given in request.inputs.items()},
            dataset_id=dataset.id,
            method=request.spec.method.name,
            queue="default",
            student_id=student.id,
            report=outcome.report.to_stored(),
        )
        session.add_all([dataset, *models, student, job])
        session.flush()
        if outcome.comparison is not None:
            add_comparison(session, job.id, outcome.comparison)
        for event in run.events:
            if isinstance(event, Metrics | Message):
                append_event(session, job.id, event)
        return job.id


def report(api: Api, job: str, accept: str = "") -> Any:
    response = api.http.get(f"/v1/jobs/{job}/report", headers={"accept": accept})
    assert response.status_code == 200, response.text
    return response


class TestForms:
    def test_json_has_all_models_on_the_same_rows(self, api, job, run):
        read = report(api, job).json()
        dev = read["comparison"]["splits"]["dev"]
        models = {model["name"]: model for model in dev["models"]}
        files = ["onnx_fp32", "onnx_int8"]
        controls = ["without_distillation", "tfidf"]
        assert list(models) == ["teacher", "student", *files, *controls, "trivial"]
        assert [control["name"] for control in read["comparison"]["controls"]] == controls
        student, measured = models["student"], read["metrics"]["student"]
        assert student["quality"]["value"] == measured["quality"]["dev"]["accuracy"]
        assert student["quality"]["low"] < student["quality"]["value"] < student["quality"]["high"]
        assert student["beside_teacher"]["test"] == "mcnemar"
        assert models["onnx_fp32"]["quality"]["value"] == measured["exports"]["fp32"]["metric"]
        assert 0 < student["agreement"] <= 1
        assert sum(point["rows"] for point in student["calibration"]["points"]) == dev["rows"] == 64
        assert set(read["comparison"]["splits"]) == {"dev", "test"}
        assert {curve["name"] for curve in read["curves"]} >= {"loss", "dev_quality"}
        assert {one["batch_size"] for one in read["comparison"]["latencies"]} == {1, 32}
        assert read["comparison"]["environment"]["versions"]["torch"]

    def test_what_is_said_of_labels_adds_up(self, api, job):
        dev = report(api, job).json()["comparison"]["splits"]["dev"]
        counts = dev["confusion"]["counts"]
        right = sum(line[i] for i, line in enumerate(counts))
        [student] = [model for model in dev["models"] if model["name"] == "student"]
        assert student["quality"]["value"] == right / dev["rows"]
        labels = dict(zip(dev["confusion"]["labels"], counts, strict=True))
        for one in dev["classes"]:
            assert one["rows"] == sum(labels[one["label"]])
        differ = round((1 - student["agreement"]) * dev["rows"])
        assert len(dev["disagreements"]) == min(20, differ)
        for one in dev["disagreements"]:
            assert one["teacher"]["answer"] != one["student"]["answer"]

    def test_html_and_markdown_have_the_same_numbers(self, api, job):
        read = report(api, job).json()
        page, text = report(api, job, HTML).text, report(api, job, MARKDOWN).text
        for split in read["comparison"]["splits"].values():
            for model in split["models"]:
                value = model["quality"]["value"]
                shown = f"{value:.4f}" if value < 1 else f"{value:.4g}"
                assert shown in page
                assert shown in text

    def test_a_browser_is_shown_html_that_runs_and_loads_nothing(self, api, job):
        response = report(api, job, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert response.headers["vary"] == "Accept"
        for sign in ("<script", "http://", "https://", " style=", "url(", "@import"):
            assert sign not in response.text


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
        ("text/*", "text/html"),
        ("text/markdown", "text/markdown"),
        ("text/html;q=0.5, text/markdown", "text/markdown"),
        ("application/json;q=0, text/html;q=0.1", "text/html"),
        ("text/html;q=much", "application/json"),
        ("*/*;q=0.1, text/html;q=0", "application/json"),
    ],
)
def test_the_accept_header_decides(accept, form):
    assert preferred_form(accept) == form


def test_a_gate_that_is_missed_is_told_in_every_form(api, job, run):
    gate = report(api, job).json()["gate"]
    assert [failure["model"] for failure in gate["failures"]] == ["student", "onnx_fp32", "onnx_int8"]
    quality = run.outcome.report.student.quality["test"]["accuracy"]
    assert gate["failures"][0]["missed_by"] == 1.5 - quality
    sentence = (
        f"The accuracy of the student on test is {quality:.4f}; gate.min_quality is 1.5, which it misses by "
        f"{1.5 - quality:.4f}."
    )
    assert sentence in report(api, job, HTML).text
    assert sentence.replace("_", r"\_") in report(api, job, MARKDOWN).text
    assert any(sentence in warning for warning in report(api, job).json()["warnings"])
    api.http.post(f"/v1/models/{run.request.student_id}/release", json={"reason": "a <b>trial</b>"})
    assert "by loopback: a &lt;b&gt;trial&lt;/b&gt;" in report(api, job, HTML).text


def test_the_model_card_has_the_numbers_of_the_report_and_no_rows(api, job, run):
    files = run.outcome.manifest.files
    key = f"{files.prefix}/README.md"
    card = b"".join(storage_of(run.request).stream(key)).decode()
    assert card.startswith("---\npipeline_tag: text-classification\n")
    text = report(api, job, MARKDOWN).text
    tables = [part for part in text.split("\n## ") if part.startswith(("Quality", "Size", "Controls", "By"))]
    assert len(tables) >= 5
    assert all(table.strip() in card for table in tables)
    assert "Where student and teacher differ" in text
    assert "Where student and teacher differ" not in card


def test_names_and_texts_of_strangers_are_shown_as_they_are(api, run):
    name = "<img src=x onerror=alert(1)> | *a* [b](http://c) `d`"
    texts = run.outcome.comparison.model_copy(deep=True)
    one = texts.splits["dev"].disagreements[0]
    one.text = "</td><script>alert(2)</script>\n# heading"
    job = stored(api, run._replace(outcome=run.outcome.model_copy(update={"comparison": texts})), name=name)
    page, text = report(api, job, HTML).text, report(api, job, MARKDOWN).text
    assert "<img" not in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(2)" in page
    for sign in (" <", "[b](", "\n# heading", "| *a*"):
        assert sign not in text
    assert r"\<script\>alert(2)\</script\> \# heading" in text


def test_no_text_is_left_once_the_data_set_is_deleted(api, job, run):
    before = report(api, job).json()["comparison"]["splits"]["dev"]
    assert before["disagreements"]
    assert api.http.delete(f"/v1/datasets/{run.request.dataset.id}").status_code == 204
    assert api.http.delete(f"/v1/models/{run.request.student_id}").status_code == 204
    read = report(api, job).json()
    after = read["comparison"]["splits"]["dev"]
    assert after == {**before, "disagreements": []}
    assert read["dataset"] == {"id": run.request.dataset.id, "name": None}
    assert "(deleted)" in report(api, job, HTML).text


def test_a_job_of_an_earlier_version_has_a_report_of_what_it_measured(api, run):
    job = stored(api, run._replace(outcome=run.outcome.model_copy(update={"comparison": None})))
    assert report(api, job).json()["comparison"] is None
    quality = run.outcome.report.student.quality["dev"]["accuracy"]
    for form in (HTML, MARKDOWN):
        assert f"{quality:.4f}" in report(api, job, form).text


def test_a_job_that_has_not_succeeded_has_none(api, teacher, dataset):
    body = {"teacher": teacher, "dataset": dataset, "method": {"name": "scratch"}, "target": SMALL}
    job = api.http.post("/v1/jobs", json=body).json()["id"]
    response = api.http.get(f"/v1/jobs/{job}/report")
    assert response.status_code == 409
    assert response.json()["type"] == "urn:squeeze:problem:report_not_available"
    assert (
        "is queued and has no report. Its report is there once it has succeeded" in response.json()["detail"]
    )
    api.http.post(f"/v1/jobs/{job}/cancel")
    assert "A report is there once a job has succeeded." in api.http.get(f"/v1/jobs/{job}/report").text
    assert api.http.get("/v1/jobs/job_" + "0" * 26 + "/report").status_code == 404
