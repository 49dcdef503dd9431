"""What the kernel takes from a process for good: files, network, privileges.

Landlock restricts files (Linux 5.13), TCP (6.7), and signals and abstract sockets (6.12); a network namespace
of its own has no way out at all, where unprivileged processes may have one; a filter of system calls refuses
new sockets everywhere else. The limits are those of the calling thread and of what it starts: take them on
before there is a second one.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

# The same numbers on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_NET_ABI, _SCOPE_ABI = 4, 6
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_CAPABILITY_VERSION = 0x20080522


_FILTER = 2  # seccomp's mode
# By machine: the architecture as the kernel's audit names it, and the numbers of socket and io_uring_setup,
# which makes sockets too.
_SOCKET_CALLS = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EACCES, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of the Berkeley Packet Filter
_X32 = 0x40000000

LIBRARIES = (
    *(Path(prefix) for prefix in (sys.prefix, sys.base_prefix)),
    *(Path(folder) for folder in ("/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo")),
    *(Path(file) for file in ("/etc/ld.so.cache", "/etc/localtime")),
)
"""Where the interpreter and native libraries load from."""


class _Access(IntFlag):
    """To what is beneath a path."""

    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_FOLDER = 1 << 3
    REMOVE_FOLDER = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_FOLDER = 1 << 7
    MAKE_FILE = 1 << 8
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    CONTROL_DEVICE = 1 << 15


_READ = _Access.READ_FILE | _Access.READ_FOLDER
# Neither links nor sockets nor devices.
_WRITE = (
    _READ
    | (_Access.WRITE_FILE | _Access.TRUNCATE | _Access.REFER)
    | (_Access.REMOVE_FOLDER | _Access.REMOVE_FILE | _Access.MAKE_FOLDER | _Access.MAKE_FILE)
)
_OF_FILES = _Access.READ_FILE | _Access.WRITE_FILE | _Access.TRUNCATE | _Access.CONTROL_DEVICE
_USE_DEVICE = _Access.READ_FILE | _Access.WRITE_FILE | _Access.CONTROL_DEVICE
_KINDS_OF_ACCESS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version; 16 in all later ones


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Be sent a signal when the thread that started this process has ended."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, how))


def hide_memory() -> None:
    """Keep this process's memory and environment from others of the same user."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0))


def refuse_sockets() -> bool:
    """Let this process open no socket of any kind; whether the kernel can do that and its calls are known.

    Those that are open stay open.
    """
    if (known := _SOCKET_CALLS.get(platform.machine())) is None:
        return False
    audit_name, *refused = known
    # Each instruction: code, how many to skip if true and if not, value.
    program = [
        (_LOAD, 0, 0, 4),  # the architecture; another's calls have other numbers
        (_EQUAL, 1, 0, audit_name),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call's number
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
        *((_EQUAL, len(refused) - i, 0, number) for i, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    is_refused: bool = _libc.prctl(_PR_SET_SECCOMP, _FILTER, header, 0, 0) == 0
    return is_refused


def adopt_orphans() -> None:
    """Become the parent of what is left of this process's children when they end."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def landlock_version() -> int:
    """Of the kernel; 0 where it has none, or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _VERSION)))


def leave_network() -> bool:
    """Whether this process, which has one thread, now has a network of its own: one without any address."""
    is_apart: bool = _libc.unshare(_NEW_USER | _NEW_NET) == 0
    # In its own namespace a process may do anything, which opens more of the kernel than the network did.
    drop_capabilities()
    return is_apart


def drop_capabilities() -> None:
    """Be no more than any other user, though this process may be root's."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, bytes(24)))


def restrict_files(
    *, readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path] = ()
) -> bool:
    """Leave this process these folders and files alone, and no TCP; whether the kernel can do that.

    Open files stay open. Paths that do not exist are left out. Nothing can be executed.
    """
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    version = landlock_version()
    if version == 0:
        return False
    handled = (1 << _KINDS_OF_ACCESS.get(version, 16)) - 1
    with _ruleset(handled, version) as ruleset:
        for paths, access in ((readable, _READ), (writable, _WRITE), (devices, _USE_DEVICE)):
            for path in filter(Path.exists, paths):
                _allow(ruleset, path, (access if path.is_dir() else access & _OF_FILES) & handled)
        _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    return True


@contextmanager
def _ruleset(handled: int, version: int) -> Iterator[int]:
    fields = [handled]
    if version >= _NET_ABI:
        fields.append(_BIND_AND_CONNECT_TCP)
    if version >= _SCOPE_ABI:
        fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _check(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        yield ruleset
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _check(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, fd), 0))
    finally:
        os.close(fd)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
