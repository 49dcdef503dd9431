"""A child whose supervisor is gone or frozen ends itself; one that only read late does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.processes import is_alive, is_stopped, wait_until

WATCHED = """
import ctypes, pathlib, sys, time
from worker.job.supervisor_watch import SupervisorWatch
watch = SupervisorWatch()
watch.start()
folder = pathlib.Path(sys.argv[1])
"""


@contextmanager
def watched(body: str, folder: Path, *, lease_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """A child for the length of the block, in a group of its own, that has heard of a lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED + body, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        renew(process, lease_s)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdin.close()


def renew(process: subprocess.Popen[bytes], lease_s: float) -> None:
    process.stdin.write(b"%.3f\n" % (time.monotonic() + lease_s))
    process.stdin.flush()


def test_ends_with_its_lease_though_its_supervisor_lives(tmp_path: Path):
    began = time.monotonic()
    with watched("time.sleep(600)", tmp_path, lease_s=1) as process:
        assert process.wait(timeout=30) == -signal.SIGKILL
        assert time.monotonic() - began >= 1, "not before its time"


def test_works_on_while_the_lease_is_renewed(tmp_path: Path):
    with watched("time.sleep(2); watch.check(); (folder / 'done').touch()", tmp_path, lease_s=1) as process:
        with suppress(BrokenPipeError):
            while process.poll() is None:
                renew(process, 1)
                time.sleep(0.05)
        assert process.returncode == 0
    assert (tmp_path / "done").exists()


def test_a_native_call_that_lets_no_thread_run_is_no_lost_lease(tmp_path: Path):
    """The renewal came in time, whenever it is read."""
    body = """
(folder / "ready").touch()
ctypes.PyDLL(None).usleep(2_000_000)
time.sleep(0.2)
watch.check()
(folder / "done").touch()
"""
    with watched(body, tmp_path, lease_s=1) as process:
        wait_until((tmp_path / "ready").exists)
        renew(process, 60)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "done").exists()


def test_publishes_nothing_when_it_wakes_after_its_lease(tmp_path: Path):
    body = """
(folder / "ready").touch()
while not (folder / "go").exists():
    pass
watch.check()
(folder / "published").touch()
"""
    with watched(body, tmp_path, lease_s=2) as process:
        ends = time.monotonic() + 2
        wait_until((tmp_path / "ready").exists)
        os.killpg(process.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid))
        (tmp_path / "go").touch()
        wait_until(lambda: time.monotonic() > ends)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.wait(timeout=30) == -signal.SIGKILL
    assert not (tmp_path / "published").exists()


def test_the_watch_begins_before_torch_is_imported(tmp_path: Path):
    slow = tmp_path / "torch"
    slow.mkdir()
    started = tmp_path / "started"
    program = f"import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); "
    (slow / "__init__.py").write_text(program + "time.sleep(600)")
    search_path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search_path)}
    command = [sys.executable, "-P", "-m", "worker.job.main", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environment) as process:
        try:
            wait_until(lambda: started.exists() and started.read_text() != "")
            process.stdin.close()
            wait_until(lambda: not is_alive(process.pid))
        finally:
            process.kill()
