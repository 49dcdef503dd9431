"""What the tests of limited processes call in them."""

import errno
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from app.domain.errors import InvalidRequest, TooLarge
from app.intake import steps


def echo(value):
    print("something that a library prints")
    os.write(1, b"and native code too")
    return value


def content(_, *files):
    return [file.read().decode() for file in files]


def open_fds(_):
    found = []
    for fd in range(64):
        with suppress(OSError):
            os.fstat(fd)
            found.append(fd)
    return len(found)


def environment(_):
    return sorted(os.environ)


def is_imported(modules):
    return [name for name in modules if name in sys.modules]


def is_forked(_):
    return [name for name in ("app.main", "fastapi", "sqlalchemy") if name in sys.modules]


def allocate(size):
    return len(bytearray(size))


def abort(last_words):
    os.write(2, last_words.encode())
    os.abort()


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


def refuse(kind):
    error = {"invalid": InvalidRequest, "large": TooLarge}[kind]
    raise error("some_code", "What to do.", pointer="#/file", found=2)


def fill_disk(_):
    raise OSError(errno.ENOSPC, "no room")


def attempt(calls):
    """The error of each call, by its name."""
    found = []
    for name, *arguments in calls:
        try:
            eval(name)(*arguments)
        except OSError as error:
            found.append(errno.errorcode[error.errno])
        else:
            found.append("done")
    return found


def write_much(path):
    with Path(path).open("wb") as file:
        file.write(bytes(2**20))
        file.flush()


def open_many(_):
    return len([os.dup(0) for _ in range(1000)])


def spool(_):
    with tempfile.TemporaryFile() as file, tempfile.NamedTemporaryFile() as named:
        file.write(b"x")
        return named.name


def stop_at(step):
    steps.begin(step)
    crash(None)


def leave_process(_):
    """In a session of its own, out of reach of what ends the process's group."""
    if (pid := os.fork()) == 0:
        os.setsid()
        signal.pause()
    return pid


def connect_tcp(port):
    socket.create_connection(("127.0.0.1", port), timeout=5)


def send_udp(port):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", port))
