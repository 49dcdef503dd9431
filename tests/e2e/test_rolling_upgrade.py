"""The last release beside this version on one database, as while a service is upgraded without a pause.

``tests/releases`` holds its source; CONTRIBUTING.md says how it is replaced.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.e2e.conftest import Json, Stack, running_stack
from tests.processes import wait_until

# Four processes start, two of them import torch: minutes on a machine that does much else.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RELEASES = Path(__file__).parents[1] / "releases"
TEXTS = ["the film was wonderful and charming", "a dreadful boring story"]
SEARCH = {
    "name": "auto",
    "goals": {"retain": 0.5},
    "budget": {"trials": 1},
    "methods": ["distillation"],
}


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its source."""
    [archive] = RELEASES.glob("squeeze-*.tar.bz2")
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def new(
    postgres_url: str, redis_server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """This version, on a database of its schema."""
    # A broker of its own: workers of other tests listen to the server's first database.
    broker_url = make_url(redis_server_url).set(database="9").render_as_string(hide_password=False)
    stores = {"database_url": postgres_url, "broker_url": broker_url}
    with running_stack(tmp_path_factory.mktemp("new"), stores) as stack:
        yield stack


@pytest.fixture(scope="module")
def old(new: Stack, last_release: Path) -> Iterator[Stack]:
    with new.beside(last_release) as stack:
        yield stack


def test_a_service_is_upgraded_without_a_pause(new: Stack, old: Stack, tmp_path: Path):
    encoder, dataset = new.upload(tmp_path)
    old_worker = old.start_worker()
    wait_until(old_worker.is_ready, timeout_s=60)

    job = new.wait_for_end(new.start_job(encoder, dataset, exports=["fp32"]))
    assert_whole(new, job, attempts=1)

    searches = [new.start_job({"id": job["student"]}, dataset, SEARCH, exports=["fp32"]) for _ in range(2)]
    for search in searches:
        wait_until(
            lambda id_=search["id"]: f"job {id_} is left to workers of a" in old_worker.log.read_text(),
            timeout_s=60,
        )
        waiting = new.get(f"/v1/jobs/{search['id']}")
        assert (waiting["status"], waiting["attempt"], waiting["error"]) == ("queued", 0, None)
        assert waiting["status_message"].startswith("All running workers are of an earlier version")
    assert_of_a_newer_version(old, searches, status="queued")

    # The old worker hands its job to the new one, with what it has learnt so far.
    handed_over = old.start_job(encoder, dataset, training={"epochs": 24}, exports=["fp32"])
    wait_until(lambda: any(training_steps(old, handed_over)), timeout_s=60)
    old_worker.process.terminate()
    assert old_worker.process.wait(timeout=30) == 0, new.logs()
    handed_over = old.get(f"/v1/jobs/{handed_over['id']}")
    assert (handed_over["status"], handed_over["attempt"]) == ("queued", 1)

    new_worker = new.start_worker()
    wait_until(new_worker.is_ready, timeout_s=60)
    ordinary = old.start_job(encoder, dataset, training={"epochs": 1}, exports=["fp32"])
    kept, cancelled = searches
    new.wait_for(cancelled, lambda search: search["status"] == "running")
    answer = old.http.post(f"/v1/jobs/{cancelled['id']}/cancel")
    assert answer.json()["type"].endswith("unreadable_row")  # it is cancelled for all that
    assert new.wait_for_end(cancelled)["status"] == "cancelled", new.logs()

    assert_whole(old, old.wait_for_end(handed_over), attempts=2)
    before, after = training_steps(old, handed_over)
    assert max(before) < min(after), "it went on where it was"
    assert_whole(old, old.wait_for_end(ordinary), attempts=1)

    kept = new.wait_for_end(kept)
    assert (kept["status"], kept["error"]) == ("succeeded", None), new.logs()
    assert old.predict({"id": kept["student"]}, TEXTS).is_success
    assert_of_a_newer_version(old, [kept], status="succeeded")
    events = old.get(f"/v1/jobs/{kept['id']}/events?limit=100")["data"]
    assert {event["kind"] for event in events if event["error"] is None} >= {"status"}
    assert {event["error"]["code"] for event in events if event["kind"] == "trial"} == {"unreadable_row"}
    assert {worker["status"] for worker in old.get("/v1/workers")["data"]} == {"alive"}


def assert_whole(stack: Stack, job: Json, *, attempts: int) -> None:
    """A job of one version, run by the other, has all that its API shows."""
    assert (job["status"], job["error"], job["attempt"]) == ("succeeded", None, attempts), stack.logs()
    events = stack.get(f"/v1/jobs/{job['id']}/events?limit=1000")["data"]
    statuses = [event["data"]["status"] for event in events if event["kind"] == "status"]
    assert statuses == [*["queued", "running"] * attempts, "succeeded"]
    report = stack.get(f"/v1/jobs/{job['id']}/report")
    assert report["metrics"]["student"]["exports"].keys() == {"fp32"}
    assert "dev_quality" in {curve["name"] for curve in report["curves"]}
    assert stack.get(f"/v1/models/{job['student']}")["lineage"]["job"] == job["id"]
    answers = stack.predict({"id": job["student"]}, TEXTS)
    assert answers.is_success, answers.text
    assert len(answers.json()) == len(TEXTS)


def assert_of_a_newer_version(old: Stack, searches: list[Json], *, status: str) -> None:
    """The old API says of each job that a later version wrote it, and lists the others beside it."""
    listed = {job["id"]: job for job in old.get("/v1/jobs?limit=100")["data"]}
    assert "job" in {entry["object"] for entry in listed.values()}
    for search in searches:
        entry = listed[search["id"]]
        assert (entry["object"], entry["status"]) == ("unreadable", status)
        problem = old.http.get(f"/v1/jobs/{search['id']}").json()
        assert problem["type"].endswith("unreadable_row")
        for message in (entry["error"]["message"], problem["detail"]):
            assert message.endswith("A later version of the service wrote it.")


def training_steps(stack: Stack, job: Json) -> list[list[int]]:
    """The steps at which the training was measured, of each attempt."""
    steps: list[list[int]] = []
    for event in stack.get(f"/v1/jobs/{job['id']}/events?limit=1000")["data"]:
        if event["data"].get("status") == "running":
            steps.append([])
        elif event["data"].get("stage") == "fine_tuning":
            steps[-1].append(event["data"]["step"])
    return steps
