"""Several processes behind one port."""

import asyncio
import os
import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from app.embedded import free_port, running, settings_environment
from app.process_metrics import ProcessMetrics
from app.processes import run_api
from tests.app.inference.conftest import Register, predict
from tests.processes import children, is_alive, wait_until

MODELS = re.compile(r'squeeze_predict_loaded_models{process="(\d)"} (\d)')


def test_a_scrape_of_one_process_tells_of_all(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        alone, *together = ProcessMetrics(), *(ProcessMetrics(tmp_path / f"{n}.sock") for n in (0, 1))
        texts = [(await alone.text()).decode()]
        for process in together:
            await process.start()
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(tmp_path / "2.sock"))
        texts.append((await together[0].text()).decode())
        for process in together:
            await process.close()
        return texts

    alone, both = asyncio.run(scenario())
    assert "process=" not in alone
    samples = [line for line in alone.splitlines() if not line.startswith("#")]
    labelled = [line for line in both.splitlines() if not line.startswith("#")]
    for number in (0, 1):
        of_one = [line for line in labelled if f'process="{number}"' in line]
        names = {re.split(r"[{ ]", line)[0] for line in of_one}
        assert names == {re.split(r"[{ ]", line)[0] for line in samples}
    assert len(labelled) == 2 * len(samples)
    types = [line for line in both.splitlines() if line.startswith("# TYPE")]
    assert sorted(types) == sorted(line for line in alone.splitlines() if line.startswith("# TYPE"))


def test_an_address_that_is_taken(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = settings.model_copy(update={"port": other.getsockname()[1]})
        with pytest.raises(SystemExit, match="cannot listen on"):
            run_api("serve", taken, processes=2)
    with pytest.raises(SystemExit, match="at least 1"):
        run_api("serve", settings, processes=0)


def test_processes_that_only_predict(settings: Settings, register: Register, tmp_path: Path) -> None:
    model = register()
    port = free_port()
    chosen = settings.model_copy(update={"port": port, "loopback_without_key": True})
    command = [sys.executable, "-m", "app.cli", "serve", "--workers", "2"]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "serve.log"

    def counts() -> dict[str, str]:
        with suppress(httpx.TransportError):
            # Each request may be answered by another process.
            return dict(MODELS.findall(httpx.get(f"{url}/metrics").text))
        return {}

    with running(command, environment=settings_environment(chosen), log=log) as process:
        wait_until(lambda: len(counts()) == 2, timeout_s=60)
        assert httpx.get(f"{url}/readyz").json()["status"] == "ready"
        assert httpx.get(f"{url}/v1/jobs").status_code == 404, "predictions alone"

        def is_loaded_in_both() -> bool:
            with httpx.Client(base_url=url) as client:
                assert predict(client, model, "a wonderful film").status_code == 200
            return counts() == {"0": "1", "1": "1"}

        wait_until(is_loaded_in_both, timeout_s=30)
        members = [pid for pid in children(process.pid) if b"spawn_main" in _command(pid)]
        assert len(members) == 2
        os.kill(members[0], signal.SIGKILL)
        wait_until(lambda: sorted(counts().values()) == ["0", "1"], timeout_s=60)
        started = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        assert len(started) >= 2
        wait_until(lambda: not any(map(is_alive, started)))  # one sees to what others leave
    assert "process 0 ended with status -9" in log.read_text() or "process 1 ended" in log.read_text()


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
