"""``squeeze up``: everything on one machine, and nothing of it left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.embedded import free_port
from tests.processes import is_alive, wait_until

pytestmark = pytest.mark.e2e


@contextmanager
def squeeze_up(data_dir: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEEZE_")}
    command = [sys.executable, "-m", "app.cli", "up", "--data-dir", str(data_dir), "--port", str(port)]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Ignored, and inherited so, where the tests themselves run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_listening(process: subprocess.Popen[str]) -> str:
    """The API key that is printed."""
    assert process.stdout is not None
    assert "Squeeze listens on" in process.stdout.readline()
    return process.stdout.readline().split()[-1]


def parts_of(process: subprocess.Popen[str]) -> list[int]:
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in pids]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_serves_and_takes_everything_with_it(tmp_path: Path, number: signal.Signals):
    port = free_port()
    with squeeze_up(tmp_path / "data", port) as process:
        key = wait_until_listening(process)
        parts = parts_of(process)
        assert len(parts) == 3, "a broker, the API and a worker"
        api = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{api}/readyz").json()["status"] == "ready"
        assert httpx.get(f"{api}/v1/models").status_code == 200, "this machine needs no key"
        assert httpx.get(f"{api}/v1/keys", headers={"authorization": f"Bearer {key}"}).status_code == 200
        process.send_signal(number)
        assert process.wait(timeout=20) == (-number if number is signal.SIGKILL else 0)
        wait_until(lambda: not any(is_alive(pid) for pid in parts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a path too long for a socket's address."""
    return tmp_path_factory.mktemp("up") / ("deep " * 20).strip()


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A service on the folder that listens, until the last test ends it."""
    with squeeze_up(folder, free_port()) as process:
        wait_until_listening(process)
        yield process


def test_a_long_path_does_not_stop_the_broker(process: subprocess.Popen[str]):
    assert len(parts_of(process)) == 3


@pytest.mark.usefixtures("process")
def test_a_folder_belongs_to_one_service(folder: Path):
    with squeeze_up(folder, free_port()) as second:
        assert second.wait(timeout=20) == 1
        assert "in use by another Squeeze process" in second.stderr.read()


def test_a_part_that_ends_ends_the_whole(process: subprocess.Popen[str]):
    parts = parts_of(process)
    os.kill(parts[-1], signal.SIGKILL)
    assert process.wait(timeout=20) == 1
    assert "the worker exited with status -9" in process.stderr.read()
    assert not any(is_alive(pid) for pid in parts)
