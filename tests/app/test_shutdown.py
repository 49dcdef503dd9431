"""A server that is told to stop finishes what it has admitted, within a bound."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from app.embedded import Service, free_port, running, settings_environment
from tests.processes import wait_until

StartApi = Callable[..., tuple[Settings, "subprocess.Popen[bytes]"]]

ROWS = "\n".join(json.dumps({"text": f"text {n}", "label": n % 2}) for n in range(50)).encode()


@pytest.fixture
def start_api(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartApi]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with ExitStack() as stack:

        def start(**changes: object) -> tuple[Settings, "subprocess.Popen[bytes]"]:
            settings = Settings(data_dir=tmp_path, database_url=sqlite_url, port=free_port(), **changes)
            command = [sys.executable, "-m", "app.cli", "api"]
            environment = settings_environment(settings)
            log = tmp_path / "api.log"
            process = stack.enter_context(running(command, environment=environment, log=log))
            url = f"http://127.0.0.1:{settings.port}/healthz"
            service = Service(url, {"API": process})

            def answers() -> bool:
                service.check()
                with contextlib.suppress(httpx.TransportError):
                    return httpx.get(url).is_success
                return False

            wait_until(answers, timeout_s=60)
            return settings, process

        yield start


def upload_of(settings: Settings) -> tuple[bytes, bytes]:
    """The bytes of a request that registers a data set: the first half, and the rest."""
    request = httpx.Request(
        "POST",
        f"http://127.0.0.1:{settings.port}/v1/datasets",
        data={"name": "data", "task": "text_classification"},
        files={split: (f"{split}.jsonl", ROWS) for split in ("train", "dev")},
    )
    head = [f"{request.method} {request.url.path} HTTP/1.1"]
    head += ["expect: 100-continue"]
    head += [f"{name}: {value}" for name, value in request.headers.items()]
    content = "\r\n".join(head).encode() + b"\r\n\r\n" + request.read()
    return content[: len(content) // 2], content[len(content) // 2 :]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def received(client: socket.socket, *, until: bytes = b"\0") -> bytes:
    """What comes until these last bytes, or until the connection is closed."""
    client.settimeout(30)
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while not content.endswith(until) and (chunk := client.recv(2**16)):
            content += chunk
    return content


def test_a_request_under_way_is_answered(start_api):
    settings, process = start_api()
    begin, rest = upload_of(settings)
    with closing(socket.create_connection(("127.0.0.1", settings.port))) as client:
        client.sendall(begin)
        assert received(client, until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n", "admitted"
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(settings.port))
        client.sendall(rest)
        assert received(client).startswith(b"HTTP/1.1 201 ")
    assert process.wait(30) in (0, 130)


def test_one_that_does_not_come_to_an_end_is_given_up(start_api):
    """Neither a client that does not go on, nor a store that does not answer."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        store = {"storage_url": "s3://bucket", "s3_endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        settings, process = start_api(drain=timedelta(seconds=1), **store)
        begin, rest = upload_of(settings)
        with ExitStack() as stack:
            slow, stuck = (
                stack.enter_context(closing(socket.create_connection(("127.0.0.1", settings.port))))
                for _ in range(2)
            )
            slow.sendall(begin)
            stuck.sendall(begin + rest)
            silent.settimeout(30)
            stack.enter_context(closing(silent.accept()[0]))
            stopped_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) != 0
            assert time.monotonic() - stopped_at < settings.storage_timeout.total_seconds()
            assert b"HTTP/1.1 201" not in received(stuck)
