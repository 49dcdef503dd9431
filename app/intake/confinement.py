"""What the kernel takes from a process for good: files, network, privileges.

Landlock restricts files (Linux 5.13), TCP (6.7), and signals and abstract sockets (6.12); a network namespace
of its own has no way out at all, where unprivileged processes may have one.
"""

import ctypes
import os
import signal
import struct
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

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_CAPABILITY_VERSION = 0x20080522


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


_READ = _Access.READ_FILE | _Access.READ_FOLDER
# Neither links nor sockets nor devices.
_WRITE = (
    _READ
    | (_Access.WRITE_FILE | _Access.TRUNCATE | _Access.REFER)
    | (_Access.REMOVE_FOLDER | _Access.REMOVE_FILE | _Access.MAKE_FOLDER | _Access.MAKE_FILE)
)
_KINDS_OF_ACCESS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version; 16 in all later ones


def end_with_parent() -> None:
    """Be killed when the process that forked this one has ended."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def landlock_version() -> int:
    """Of the kernel; 0 where it has none, or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _VERSION)))


def leave_network() -> bool:
    """Whether this process, which has one thread, now has a network of its own: one without any address."""
    is_apart: bool = _libc.unshare(_NEW_USER | _NEW_NET) == 0
    # In its own namespace a process may do anything, which opens more of the kernel than the network did.
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _libc.capset(header, bytes(24))
    return is_apart


def restrict_files(*, readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Leave this process these folders and files alone, and no TCP; whether the kernel can do that.

    Open files stay open. Paths that do not exist are left out.
    """
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = landlock_version()
    if version == 0:
        return False
    handled = (1 << _KINDS_OF_ACCESS.get(version, 16)) - 1
    with _ruleset(handled, version) as ruleset:
        for paths, access in ((readable, _READ), (writable, _WRITE)):
            for path in filter(Path.exists, paths):
                _allow(ruleset, path, (access if path.is_dir() else _Access.READ_FILE) & handled)
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
