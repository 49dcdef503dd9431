"""A job's history, as pages and as a stream from a real server."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.core.db import Database
from app.core.db.job_queue import claim_job
from app.core.db.jobs import Job, append_event, lock_job, move
from app.domain.documents.events import Message, Metrics
from app.domain.job_states import JobStatus
from tests.app.conftest import make_settings
from tests.conftest import empty_tables


def add_job(database: Database, events: int = 0) -> str:
    with database.transaction() as session:
        job = Job(spec={}, dataset_id="dst_any", method="scratch")
        session.add(job)
        session.flush()
        for step in range(1, events + 1):
            append_event(session, job.id, Metrics(stage="train", step=step, values={}))
        return job.id


def finish(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        claim_job(session, job_id, owner="w", lease=timedelta(seconds=30))
        move(session, lock_job(session, job_id), JobStatus.SUCCEEDED)


def parse(text: str) -> list[dict[str, str]]:
    """Server-sent events, without comments."""
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in text.split("\n\n")
    ]
    return [block for block in blocks if "event" in block]


class TestPages:
    def test_oldest_first(self, api):
        job_id = add_job(api.database, events=5)
        first = api.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 3}).json()
        assert [event["id"] for event in first["data"]] == [1, 2, 3]
        assert first["data"][0]["kind"] == "metrics"
        assert (first["has_more"], first["next"]) == (True, "3")
        second = api.http.get(f"/v1/jobs/{job_id}/events", params={"after": first["next"]}).json()
        assert [event["data"]["step"] for event in second["data"]] == [4, 5]
        assert (second["has_more"], second["next"]) == (False, None)

    @pytest.mark.parametrize("after", ["-1", str(2**31), "9" * 30])
    def test_after_what_is_no_event(self, api, after):
        job_id = add_job(api.database)
        assert api.http.get(f"/v1/jobs/{job_id}/events", params={"after": after}).status_code == 422

    def test_not_found(self, api):
        assert api.http.get("/v1/jobs/job_x/events").status_code == 404
        assert api.http.get("/v1/jobs/job_x/events/stream").status_code == 404

    def test_who_accepts_a_stream_is_led_to_it(self, api):
        job_id = add_job(api.database, events=1)
        finish(api.database, job_id)
        for path in (f"/v1/jobs/{job_id}/events", f"/v1/jobs/{job_id}/events?after=1"):
            headers = {"accept": "text/event-stream"}
            page = api.http.get(path, headers=headers, follow_redirects=False)
            stream = api.http.get(path.replace("/events", "/events/stream"))
            assert page.status_code == 307
            assert api.http.get(path, headers=headers).text == stream.text
            assert stream.headers["content-type"].startswith("text/event-stream")


class TestFinishedStream:
    """A stream of an ended job ends, so that it can be read whole."""

    def test_ends_with_done(self, api_on_both):
        api = api_on_both
        job_id = add_job(api.database, events=1200)
        finish(api.database, job_id)
        response = api.http.get(f"/v1/jobs/{job_id}/events/stream")
        assert response.headers["content-type"].startswith("text/event-stream")
        events = parse(response.text)
        assert [event["id"] for event in events[:-1]] == [str(i) for i in range(1, 1203)]
        assert json.loads(events[-2]["data"])["data"]["status"] == "succeeded"
        assert events[-1] == {"event": "done", "data": '{"status":"succeeded"}'}
        assert "retry: 3000" in response.text

    @pytest.mark.parametrize(
        ("last", "expected"),
        [
            ("3", ["4", "5"]),
            ("5", []),
            *((junk, ["1", "2", "3", "4", "5"]) for junk in ("x", "9" * 30, "9" * 5000)),
        ],
    )
    def test_resumes_after_the_last_event_id(self, api, last, expected):
        job_id = add_job(api.database, events=3)
        finish(api.database, job_id)
        headers = {"last-event-id": last}
        events = parse(api.http.get(f"/v1/jobs/{job_id}/events/stream", headers=headers).text)
        assert [event["id"] for event in events if "id" in event] == expected
        assert events[-1]["event"] == "done"


class Server:
    """The API in a process of its own, for what an in-process client cannot see."""

    def __init__(self, environment: dict[str, str]) -> None:
        with_port = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"
        port = int(subprocess.check_output([sys.executable, "-c", with_port]))
        command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", str(port)]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([*command, "--log-level", "warning"], env=environment)
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.url}/healthz")
                break
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def served(tmp_path_factory, postgres_url) -> Iterator[tuple[Server, Database]]:
    settings = make_settings(tmp_path_factory.mktemp("served"), database_url=postgres_url)
    environment = os.environ | {
        "SQUEEZE_DATABASE_URL": postgres_url,
        "SQUEEZE_DATA_DIR": str(settings.data_dir),
    }
    database = Database(postgres_url)
    empty_tables(database)
    server = Server(environment)
    yield server, database
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait()
    database.dispose()


def read_stream(url: str, seen: list[dict[str, Any]], connected: threading.Event) -> None:
    with httpx.stream("GET", url, timeout=20) as response:
        text = ""
        for chunk in response.iter_text():
            connected.set()
            text += chunk
            while "\n\n" in text:
                block, text = text.split("\n\n", 1)
                seen.extend(parse(block + "\n\n"))


class TestLiveStream:
    def test_events_come_as_they_happen(self, served):
        server, database = served
        job_id = add_job(database, events=1)
        seen: list[dict[str, Any]] = []
        connected = threading.Event()
        reader = threading.Thread(
            target=read_stream, args=(f"{server.url}/v1/jobs/{job_id}/events/stream", seen, connected)
        )
        reader.start()
        assert connected.wait(10)
        with database.transaction() as session:
            lock_job(session, job_id)
            append_event(session, job_id, Message(text="hello"))
        deadline = time.monotonic() + 10
        while len(seen) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [event["event"] for event in seen] == ["metrics", "message"]
        finish(database, job_id)
        reader.join(timeout=10)
        assert [event["event"] for event in seen] == ["metrics", "message", "status", "status", "done"]

    def test_a_stopping_server_does_not_wait_for_its_listeners(self, served):
        """Last of its class: it stops the server that the others use."""
        server, database = served
        job_id = add_job(database)
        connected = threading.Event()
        reader = threading.Thread(
            target=read_stream, args=(f"{server.url}/v1/jobs/{job_id}/events/stream", [], connected)
        )
        reader.start()
        assert connected.wait(10)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=5) is not None
        reader.join(timeout=5)
        assert not reader.is_alive()
