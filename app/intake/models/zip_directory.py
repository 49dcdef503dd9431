"""How many members a zip has, before its directory is read: each of them becomes an object in memory."""

import io
import struct
from typing import BinaryIO

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\5\6"
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_64_SIGNATURE = b"PK\6\6"
_LOCATOR_64 = struct.Struct("<4sLQL")
_LOCATOR_64_SIGNATURE = b"PK\6\7"
_ENTRY_SIGNATURE = b"PK\1\2"
_ENTRY_BYTES = 46
_LENGTHS = struct.Struct("<3H")  # of an entry's name, extra field and comment
_LENGTHS_AT = 28
_MAX_COMMENT = 2**16


def count_members(archive: BinaryIO, *, limit: int, max_directory_bytes: int) -> int:
    """The number of members, at least as many as ``zipfile`` would read; ``limit + 1`` where there are more.

    What the record at the end says is believed only where it is too much: the entries themselves are counted.

    Raises:
        ValueError: there is no directory, or it is longer than ``max_directory_bytes``.
    """
    declared, start, size = _find_directory(archive)
    if declared > limit:
        return limit + 1
    if size > max_directory_bytes:
        raise ValueError("its directory is too long")
    if start < 0:
        raise ValueError("its directory lies before its beginning")
    archive.seek(start)
    directory = archive.read(size)
    number = at = 0
    while at < len(directory) and number <= limit:
        if directory[at : at + 4] != _ENTRY_SIGNATURE or at + _ENTRY_BYTES > len(directory):
            raise ValueError("its directory is damaged")
        at += _ENTRY_BYTES + sum(_LENGTHS.unpack_from(directory, at + _LENGTHS_AT))
        number += 1
    return number


def _find_directory(archive: BinaryIO) -> tuple[int, int, int]:
    """Members as declared, and where ``zipfile`` looks for the directory: its start and its size."""
    file_bytes = archive.seek(0, io.SEEK_END)
    begin = max(0, file_bytes - _END.size - _MAX_COMMENT)
    archive.seek(begin)
    tail = archive.read()
    at = len(tail) - _END.size  # most archives have no comment; only then may the signature be in one
    if at < 0 or tail[at : at + 4] != _END_SIGNATURE or tail[-2:] != b"\0\0":
        at = tail.rfind(_END_SIGNATURE)
    if at < 0 or at + _END.size > len(tail):
        raise ValueError("it has no directory")
    _, _, _, _, members, size, _, _ = _END.unpack_from(tail, at)
    end = begin + at
    if (large := _large_record(archive, end)) is not None:
        _, _, _, _, _, _, _, members, size, _ = large
        end -= _END_64.size + _LOCATOR_64.size
    return members, end - size, size


def _large_record(archive: BinaryIO, end: int) -> tuple[int, ...] | None:
    """Zip64's, which stands before the other one and holds instead of it."""
    before = end - _LOCATOR_64.size - _END_64.size
    if before < 0:
        return None
    archive.seek(before)
    content = archive.read(_END_64.size + _LOCATOR_64.size)
    is_large = content[:4] == _END_64_SIGNATURE and content[_END_64.size :][:4] == _LOCATOR_64_SIGNATURE
    return _END_64.unpack_from(content) if is_large else None
