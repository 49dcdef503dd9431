"""A job's process reaches its own folders, and nothing of who runs it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PRELUDE = """
import os, pathlib, socket, sys, tempfile
from worker.job.confinement import confine
own, outside, parent = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
confine([own])
"""

ALLOWED = {
    "write into its folder": '(own / "file").write_text("x"); (own / "file").rename(own / "other")',
    "make and remove folders": '(own / "folder").mkdir(); (own / "folder").rmdir()',
    "link what it wrote": '(own / "a").write_text("x"); os.link(own / "a", own / "b")',
    "write temporary files": "assert str(own) in tempfile.mkdtemp()",
    "import what it has not yet": "import wave, sqlite3",
    "see what the machine has": 'pathlib.Path("/proc/meminfo").read_text(); os.cpu_count()',
    "throw things away": 'pathlib.Path("/dev/null").write_text("x")',
    # Not by multiprocessing, which starts a program beside it: that is refused, and raises now and then.
    "share memory": 'import mmap; path = pathlib.Path(f"/dev/shm/squeeze-{os.getpid()}"); '
    'file = path.open("w+b"); path.unlink(); file.truncate(8); mmap.mmap(file.fileno(), 8)[:] = b"together"',
}
REFUSED = {
    "read other files": "outside.read_text()",
    "list other folders": "os.listdir(outside.parent)",
    "change other files": 'outside.write_text("x")',
    "make files elsewhere": '(outside.parent / "new").write_text("x")',
    "delete other files": "outside.unlink()",
    "take over other files by a link": 'os.link(outside, own / "mine")',
    "read the environment of who runs it": 'pathlib.Path(f"/proc/{parent}/environ").read_bytes()',
    "read the memory of who runs it": 'open(f"/proc/{parent}/mem", "rb").read(1)',
    "open a TCP socket": "socket.socket()",
    "open a UDP socket": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "open a Unix socket": "socket.socket(socket.AF_UNIX)",
    "run programs": 'os.execv(sys.executable, ["python"])',
    "end who runs it": "os.kill(int(parent), 9)",
}


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[int]:
    """A process of the same user."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def run(body: str, folder: Path, victim: int) -> subprocess.CompletedProcess[str]:
    own, other = folder / "own", folder / "other"
    for each in (own, other):
        each.mkdir()
    (other / "secret").write_text("secret")
    command = [sys.executable, "-c", PRELUDE + body, str(own), str(other / "secret"), str(victim)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("body", ALLOWED.values(), ids=ALLOWED)
def test_it_may(body: str, tmp_path: Path, victim: int) -> None:
    done = run(body, tmp_path, victim)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_it_may_not(body: str, tmp_path: Path, victim: int) -> None:
    done = run(body, tmp_path, victim)
    assert re.search("PermissionError|Invalid cross-device link", done.stderr)
    assert "cannot keep" not in done.stderr
    assert (tmp_path / "other" / "secret").read_text() == "secret"
