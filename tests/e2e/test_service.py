"""A client's whole way, on real processes."""

from pathlib import Path

import pytest

from tests.e2e.conftest import SHAPE, Stack

pytestmark = pytest.mark.e2e

TEXTS = ["the film was wonderful and charming", "a dreadful boring story"]


def test_from_an_encoder_to_a_served_student(stack: Stack, tmp_path: Path):
    stack.have_workers(1)
    encoder, dataset = stack.upload(tmp_path)

    job = stack.wait_for_end(stack.start_job(encoder, dataset))
    assert (job["status"], job["error"]) == ("succeeded", None), stack.logs()
    teacher = stack.get(f"/v1/models/{job['student']}")
    assert teacher["lineage"]["teacher"] == encoder["id"]
    assert teacher["labels"] == ["negative", "positive"]

    # Taken away and brought back, it is a teacher of somebody's own: without ONNX files.
    teacher = stack.upload_model(stack.download(teacher, tmp_path / "teacher"))
    assert stack.predict(teacher, TEXTS).json()["type"].endswith("model_not_servable")

    job = stack.wait_for_end(stack.start_job(teacher, dataset, "weight_squeezing", target={"shape": SHAPE}))
    assert (job["status"], job["error"]) == ("succeeded", None), stack.logs()
    assert job["progress"]["fraction"] == 1.0
    assert job["metrics"]["teacher"]
    assert job["metrics"]["student"]
    student = stack.get(f"/v1/models/{job['student']}")
    assert student["shape"] == SHAPE | {"rank": None, "embedding": None}
    assert student["parameters"] < teacher["parameters"]
    assert set(student["manifest"]["exports"]) == {"fp32", "int8"}
    assert student["lineage"] == {
        "job": job["id"],
        "teacher": teacher["id"],
        "dataset": dataset["id"],
        "method": "weight_squeezing",
    }

    # What came of it is told in every form, with the same numbers.
    report = stack.get(f"/v1/jobs/{job['id']}/report")
    [dev] = [one for one in report["comparison"]["splits"]["dev"]["models"] if one["name"] == "student"]
    assert dev["quality"]["value"] == job["metrics"]["student"]["quality"]["dev"]["accuracy"]
    shown = f"{dev['quality']['value']:.4f}"
    for form in ("text/html", "text/markdown"):
        told = stack.http.get(f"/v1/jobs/{job['id']}/report", headers={"accept": form})
        assert shown in told.text
    assert shown in stack.http.get(f"/v1/models/{student['id']}/artifacts/README.md").text

    # The job that measured the teacher has made it servable as well.
    for model in (student, teacher):
        for precision in ("fp32", "int8"):
            answers = stack.predict(model, TEXTS, precision=precision).raise_for_status().json()
            assert [{entry["label"] for entry in answer} for answer in answers] == [
                set(teacher["labels"])
            ] * 2
    assert not list((stack.settings.data_dir / "work").iterdir()), (
        "a job that has ended leaves no work folder"
    )
