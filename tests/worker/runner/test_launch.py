"""The process of an attempt, spawned by a command or forked from one that has the imports."""

import os
import select
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import is_alive, wait_until
from tests.worker.conftest import wait_until_ready
from worker.runner.launch import Command, ForkServer, Launcher, Process

INTERPRETER = Path(sys.executable).name[:15]
"""What the kernel calls its threads."""
BREAKS = Command([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.fixture(params=["command", "fork server"])
def launch(request: pytest.FixtureRequest) -> Launcher:
    return Command() if request.param == "command" else request.getfixturevalue("fork_server")


class Started:
    """A process at work on a folder, and the other ends of its pipes."""

    def __init__(self, launch: Launcher, workdir: Path) -> None:
        stdin, self.lease = os.pipe()
        self.output, stdout = os.pipe()
        self.error, stderr = os.pipe()
        self.process: Process = launch([str(workdir)], stdin=stdin, stdout=stdout, stderr=stderr)
        for fd in (stdin, stdout, stderr):
            os.close(fd)

    def close(self) -> None:
        for fd in (self.lease, self.output, self.error):
            os.close(fd)


def test_it_runs_the_pipeline_on_a_folder(launch: Launcher, tmp_path: Path) -> None:
    """In a session of its own, with its own standard error; there is no request to read."""
    with closing(Started(launch, tmp_path)) as started:
        assert os.getsid(started.process.pid) == started.process.pid
        with os.fdopen(os.dup(started.error)) as error:
            assert "FileNotFoundError" in error.read()
        status, peak = started.process.wait()
        assert status == 1
        assert peak > 10**8, "torch alone takes more"


def test_it_ends_with_its_supervisor(launch: Launcher, tmp_path: Path) -> None:
    """Before it looks for its request, which never comes."""
    os.mkfifo(tmp_path / "request.json")
    started = Started(launch, tmp_path)
    assert is_alive(started.process.pid)
    started.close()
    assert started.process.wait()[0] == -signal.SIGKILL


def test_its_id_is_not_reused_before_it_was_waited_for(fork_server: ForkServer, tmp_path: Path) -> None:
    with closing(Started(fork_server, tmp_path)) as started:
        exited = os.pidfd_open(started.process.pid)
        assert select.select([exited], [], [], 60)[0]
        os.close(exited)
        os.killpg(started.process.pid, signal.SIGKILL)
        assert started.process.wait()[0] == 1


def test_a_job_is_started_all_the_same_where_the_server_is_gone(tmp_path: Path) -> None:
    with closing(ForkServer(fallback=BREAKS)) as server:
        killed = wait_until_ready(server)
        os.kill(killed, signal.SIGKILL)
        with closing(Started(server, tmp_path)) as started:
            assert started.process.wait()[0] == 3
        assert not is_alive(killed)


def test_a_process_whose_server_is_killed_ends_with_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "request.json")
    with closing(ForkServer()) as server:
        pid = wait_until_ready(server)
        with closing(Started(server, tmp_path)) as started:
            wait_until(lambda: _threads(started.process.pid).count(INTERPRETER) > 1)  # it watches
            os.kill(pid, signal.SIGKILL)
            assert started.process.wait() == (-signal.SIGKILL, 0)
            wait_until(lambda: not is_alive(started.process.pid))


def test_the_server_has_no_thread_that_a_fork_would_miss(fork_server: ForkServer, tmp_path: Path) -> None:
    """A fork has but the thread that forked: what others held would stay locked, but for jemalloc's."""
    with closing(Started(fork_server, tmp_path)) as started:
        assert fork_server.pid is not None
        assert [name for name in _threads(fork_server.pid) if name != "jemalloc_bg_thd"] == [INTERPRETER]
        started.process.wait()


def test_nobody_waits_for_the_server(tmp_path: Path) -> None:
    """A lease runs, and the imports take long."""
    with closing(ForkServer(fallback=BREAKS)) as server, closing(Started(server, tmp_path)) as started:
        assert started.process.wait()[0] == 3


def _threads(pid: int) -> list[str]:
    return [(thread / "comm").read_text().strip() for thread in Path(f"/proc/{pid}/task").iterdir()]
