"""A function in a process of its own: its result, its limits, and what it gets to see."""

import errno
import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from app.domain.errors import InvalidRequest, TooLarge, Unavailable
from app.intake.limited_process import SERVER, LimitExceededError, Limits, require_plain_files, run_limited
from tests.processes import is_alive, wait_until

LIMITS = Limits(memory_bytes=2**30, cpu_s=20, wall_s=120)


def run(function: str, argument=None, *, files=(), folder=None, **limits):
    return run_limited(
        f"tests.app.intake.limited_functions:{function}",
        argument,
        Limits(**(vars(LIMITS) | limits)),
        files=files,
        folder=folder,
    )


def test_result():
    assert run("echo", {"a": [1, "\u6f22"]}) == {"a": [1, "\u6f22"]}


def test_files_are_given_open(tmp_path):
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    with (tmp_path / "one").open("rb") as one, (tmp_path / "two").open("rb") as two:
        assert run("content", files=[one, two]) == ["1", "2"]


def test_no_credentials_and_nothing_of_the_server(monkeypatch):
    monkeypatch.setenv("SQUEEZE_DATABASE_URL", "postgresql://user:secret@host/db")
    assert not any(name.startswith(("SQUEEZE", "AWS")) for name in run("environment"))
    assert run("is_forked") == []


def test_slow_modules_are_imported_before_the_fork():
    asked = ["colorsys", "no.such.module"]
    function = "tests.app.intake.limited_functions:is_imported"
    assert run_limited(function, asked, LIMITS) == []
    assert run_limited(function, asked, LIMITS, modules=asked) == ["colorsys"]
    assert run_limited(function, asked, LIMITS) == ["colorsys"]  # for all that follow


@pytest.mark.parametrize(
    ("function", "argument", "limits", "reason"),
    [
        ("allocate", 2**31, {}, "memory"),
        ("spin", None, {"cpu_s": 1}, "CPU time"),
        ("crash", None, {}, "crash"),
        ("abort", "terminate called after throwing 'ParquetException'", {}, "crash"),
        ("abort", "memory allocation of 4096 bytes failed", {}, "memory"),
    ],
)
def test_limits(function, argument, limits, reason):
    with pytest.raises(LimitExceededError) as error:
        run(function, argument, **limits)
    assert error.value.reason == reason
    explained = error.value.explain("the model", LIMITS)
    assert reason == explained.details["reason"]
    assert explained.message.startswith("Reading the model ")


def test_the_step_is_told():
    with pytest.raises(LimitExceededError) as error:
        run("stop_at", "tokenizer")
    assert error.value.step == "tokenizer"


def test_no_file_of_the_server_is_open():
    """Standard input and output, and the files for the result, the log and the step."""
    assert run("open_fds") == 6


def test_files_that_it_writes_are_limited(tmp_path):
    with pytest.raises(OSError, match="too large"):
        run("write_much", str(tmp_path / "file"), folder=tmp_path, file_bytes=1000)


def test_open_files_are_limited():
    with pytest.raises(OSError, match="Too many open files"):
        run("open_many")


def test_a_wait_is_no_fault_of_the_upload():
    with pytest.raises(Unavailable):
        run("wait", wall_s=0.2)


def test_a_fault_of_the_function_is_told_from_limits():
    with pytest.raises(RuntimeError, match="a fault of this service"):
        run("fail")


@pytest.mark.parametrize(("kind", "family"), [("invalid", InvalidRequest), ("large", TooLarge)])
def test_what_is_wrong_with_an_upload_comes_back_as_it_is(kind, family):
    with pytest.raises(family) as caught:
        run("refuse", kind)
    error = caught.value
    assert (error.code, error.message, error.pointer) == ("some_code", "What to do.", "#/file")
    assert error.details == {"found": 2}


def test_a_full_disk():
    with pytest.raises(OSError, match="No space left") as error:
        run("fill_disk")
    assert error.value.errno == errno.ENOSPC


def test_temporary_files_lie_in_its_folder(tmp_path):
    assert Path(run("spool", folder=tmp_path)).parent == tmp_path


def test_other_files_are_out_of_reach(tmp_path):
    folder, secret = tmp_path / "folder", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("key")
    calls = [
        ("open", str(folder / "made"), "w"),
        ("open", str(secret)),
        ("open", str(secret), "w"),
        ("os.listdir", str(tmp_path)),
        ("open", "/etc/passwd"),
        ("open", f"/proc/{os.getpid()}/environ"),
        ("os.symlink", str(secret), str(folder / "link")),
        ("os.link", str(secret), str(folder / "hard")),
        ("os.unlink", str(secret)),
    ]
    found = run("attempt", calls, folder=folder)
    assert found[0] == "done"
    if "Landlock" in SERVER.lacking:
        return
    assert set(found[1:]) <= {"EACCES", "EXDEV", "EPERM"}
    assert secret.read_text() == "key"
    assert [path.name for path in folder.iterdir()] == ["made"]


@pytest.mark.parametrize("call", ["connect_tcp", "send_udp"])
def test_no_network(call):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        [found] = run("attempt", [(call, server.getsockname()[1])])
    assert found in {"EACCES", "ENETUNREACH"} or SERVER.lacking


def test_nothing_of_it_is_left():
    assert not is_alive(run("leave_process"))


def test_it_goes_on_after_its_server_was_killed():
    """As the kernel does where memory is short; what was under way then is no fault of the upload."""
    run("echo")
    failures = []

    def wait_for_it():
        try:
            run("wait")
        except Unavailable as error:
            failures.append(error.code)

    waiting = Thread(target=wait_for_it)
    waiting.start()
    children = Path(f"/proc/{SERVER.pid}/task/{SERVER.pid}/children")
    wait_until(children.read_text)
    [run_pid] = children.read_text().split()
    os.kill(SERVER.pid, signal.SIGKILL)
    waiting.join(60)
    assert failures == ["server_busy"]
    wait_until(lambda: not is_alive(int(run_pid)))
    assert run("echo", 2) == 2


def test_links_are_not_taken(tmp_path):
    (tmp_path / "plain").write_text("x")
    require_plain_files(tmp_path)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(RuntimeError, match="link is no plain file"):
        require_plain_files(tmp_path)
