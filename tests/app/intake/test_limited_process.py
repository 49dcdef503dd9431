"""A function in a process of its own: its result, its limits, and what it gets to see."""

import os
import sys

import pytest

from app.domain.errors import Unavailable
from app.intake.limited_process import LimitExceededError, Limits, run_limited

LIMITS = Limits(memory_bytes=2**30, cpu_s=20, wall_s=120)


def run(function: str, argument=None, **limits):
    return run_limited(
        f"tests.app.intake.test_limited_process:{function}", argument, Limits(**(vars(LIMITS) | limits))
    )


def echo(value):
    print("something that a library prints")
    os.write(1, b"and native code too")
    return value


def environment(_):
    return sorted(os.environ)


def is_forked(_):
    return [name for name in ("app.main", "fastapi", "sqlalchemy") if name in sys.modules]


def allocate(size):
    return len(bytearray(size))


def spin(_):
    while True:
        pass


def wait(_):
    sys.stdin.close()
    os.read(os.pipe()[0], 1)


def crash(_):
    os.kill(os.getpid(), 11)


def fail(_):
    raise LookupError("a fault of this service")


def test_result():
    assert run("echo", {"a": [1, "\u6f22"]}) == {"a": [1, "\u6f22"]}


def test_no_credentials_and_nothing_of_the_server(monkeypatch):
    monkeypatch.setenv("SQUEEZE_DATABASE_URL", "postgresql://user:secret@host/db")
    assert not any(name.startswith(("SQUEEZE", "AWS")) for name in run("environment"))
    assert run("is_forked") == []


@pytest.mark.parametrize(
    ("function", "argument", "limits", "reason"),
    [
        ("allocate", 2**31, {}, "memory"),
        ("spin", None, {"cpu_s": 1}, "CPU time"),
        ("crash", None, {}, "crash"),
    ],
)
def test_limits(function, argument, limits, reason):
    with pytest.raises(LimitExceededError) as error:
        run(function, argument, **limits)
    assert error.value.reason == reason


def test_a_wait_is_no_fault_of_the_upload():
    with pytest.raises(Unavailable):
        run("wait", wall_s=1)


def test_a_fault_of_the_function_is_told_from_limits():
    with pytest.raises(RuntimeError, match="a fault of this service"):
        run("fail")
