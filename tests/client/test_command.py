"""The command ``squeeze``: what it prints, and how it ends."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from squeeze_client import Dataset, Job, Model, Squeeze
from squeeze_client.cli import output, watching
from squeeze_client.effects import Sync

from tests.client.conftest import TRAINING, Command


def test_from_upload_to_prediction(squeeze: Command, model_folder: Path, data_files: dict[str, Path]):
    model = squeeze("models", "push", str(model_folder), "--name", "mine").strip()
    assert json.loads(squeeze("models", "show", model, "--json"))["name"] == "mine"
    data = json.loads(
        squeeze("data", "push", str(data_files["train"]), "--dev", str(data_files["dev"]), "--json")
    )
    assert squeeze("data", "list").splitlines()[1].split("\t")[0] == data["id"]
    fields = json.dumps({"controls": False, "exports": ["fp32"], "training": TRAINING})
    options = ["--data", data["id"], "--method", "fine_tuning", "--with", fields, "--json"]
    job = json.loads(squeeze("compress", model, *options, "--wait"))
    assert job["status"] == "succeeded"
    [answer] = json.loads(squeeze("predict", job["student"], "wonderful", "--with", '{"top_k": 1}', "--json"))
    assert answer[0].keys() == {"label", "score"}
    squeeze("models", "delete", job["student"])
    squeeze("data", "delete", data["id"])
    assert job["student"] in squeeze("models", "show", job["student"], status=1)


def test_jobs(squeeze: Command, job: Job[Sync], tmp_path: Path):
    lines = squeeze("jobs", "list", "--status", "succeeded").splitlines()
    assert lines[0].split("\t")[:3] == ["id", "method", "status"]
    assert job.id in [line.split("\t")[0] for line in lines]
    shown = dict(line.split("\t") for line in squeeze("jobs", "show", job.id).splitlines())
    assert (shown["status"], shown["student"]) == ("succeeded", job.student)
    events = [json.loads(line) for line in squeeze("jobs", "events", job.id, "--json").splitlines()]
    assert [event["id"] for event in events] == [event.id for event in job.events()]
    assert squeeze("jobs", "watch", job.id).startswith("field\tvalue")
    assert job.report().markdown.strip() == squeeze("report", job.id).strip()
    squeeze("report", job.id, "--html", str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_text().startswith("<!")


def test_how_it_ends(squeeze: Command, teacher: Model, monkeypatch: pytest.MonkeyPatch):
    assert "mdl_none" in squeeze("models", "show", "mdl_none", status=1)
    squeeze("models", "push", "/nowhere", status=2)
    squeeze("compress", teacher.id, status=2)
    squeeze("compress", teacher.id, "--data", "x", "--with", "{", status=2)
    monkeypatch.setenv("SQUEEZE_API_KEY", f"sqz_{'0' * 26}_{'0' * 64}")
    squeeze("models", "list", status=4)


def test_a_wait_that_ends_leaves_the_job(
    squeeze: Command, client: Squeeze, teacher: Model, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
):
    job = client.jobs.create(
        dataset,
        teacher=teacher,
        method="fine_tuning",
        training={**TRAINING, "epochs": 1000},
        controls=False,
    )
    assert "goes on" in squeeze("jobs", "watch", job.id, "--timeout", "0.1", status=3)

    def interrupt(self, job: Job[Sync]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.Watch, "show", interrupt)
    assert f"squeeze jobs watch {job.id}" in squeeze("jobs", "watch", job.id, status=130)
    assert not job.reload().has_ended
    assert job.id in squeeze("jobs", "cancel", job.id)
    assert job.wait(timeout_s=60, must_succeed=False).status == "cancelled"


def test_every_command_has_an_example(squeeze: Command):
    groups: dict[str, list[str]] = {
        "models": ["push", "list", "show", "download", "delete"],
        "data": ["push", "list", "show", "delete"],
        "jobs": ["list", "show", "watch", "cancel", "events"],
    }
    commands = [[group, name] for group, names in groups.items() for name in names]
    for command in [*commands, ["compress"], ["search"], ["predict"], ["report"]]:
        assert f"Example: squeeze {' '.join(command)}" in squeeze(*command, "--help")


def test_a_terminal_has_bars_and_curves(
    client: Squeeze, job: Job[Sync], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    terminal = Console(file=sys.stderr, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(watching, "errors", terminal)
    watching.wait_for(client, job, timeout_s=10)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert any(bar in shown for bar in "▁▂▃▄▅▆▇█")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0], "▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([0.0, float("nan"), 1.0], "▁ █"),
    ],
)
def test_sparklines(values: list[float], line: str):
    assert output.sparkline(values) == line
    assert len(output.sparkline(values * 100)) <= 30
