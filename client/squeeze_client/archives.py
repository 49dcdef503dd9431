"""A folder as a .tar that is made while it is read: of known length, and the same each time."""

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

Progress = Callable[[int, int], None]
"""Is told how many bytes were sent, and of how many."""

_BLOCK = tarfile.BLOCKSIZE
_LEFT_OUT = (
    ".*", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.py", "*.pyc",
    "onnx", "openvino", "runs", "logs", "__pycache__",
)  # fmt: skip
"""What trainings and hubs leave in a model's folder, and the service does not read."""


def model_files(folder: Path) -> dict[str, Path]:
    """The files of a model's folder that are sent, by their name in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(fnmatch(part, pattern) for part in name.parts for pattern in _LEFT_OUT):
            found[name.as_posix()] = path
    return found


@dataclass(frozen=True)
class _Piece:
    """A stretch of the archive: a header or padding, or a file."""

    begin: int
    length: int
    source: bytes | Path


class FolderArchive(io.RawIOBase):
    """A .tar of files, to be read and sought in like a file that is open.

    Raises on reading:
        OSError: a file has become shorter, or cannot be read.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._pieces = _pieces(files)
        self._position = 0
        self._current: tuple[Path, BinaryIO] | None = None
        last = self._pieces[-1]
        self.length = last.begin + last.length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, and fewer only at the end."""
        end = self.length if size < 0 else min(self.length, self._position + size)
        parts = []
        for piece in self._pieces:
            if piece.begin + piece.length <= self._position:
                continue
            if piece.begin >= end:
                break
            start = self._position - piece.begin
            wanted = min(end - self._position, piece.length - start)
            parts.append(self._read_piece(piece, start, wanted))
            self._position += wanted
        return b"".join(parts)

    def close(self) -> None:
        if self._current is not None:
            self._current[1].close()
            self._current = None
        super().close()

    def _read_piece(self, piece: _Piece, start: int, size: int) -> bytes:
        if isinstance(piece.source, bytes):
            return piece.source[start : start + size]
        if self._current is None or self._current[0] != piece.source:
            if self._current is not None:
                self._current[1].close()
            self._current = (piece.source, piece.source.open("rb"))
        file = self._current[1]
        file.seek(start)
        content = file.read(size)
        if len(content) != size:
            raise OSError(f"{piece.source} has become shorter while it was sent")
        return content


def _pieces(files: Mapping[str, Path]) -> Sequence[_Piece]:
    pieces: list[_Piece] = []
    end = 0

    def add(source: bytes | Path, length: int) -> None:
        nonlocal end
        if length:
            pieces.append(_Piece(end, length, source))
            end += length

    for name, path in files.items():
        info = tarfile.TarInfo(name)
        info.size = path.stat().st_size
        header = info.tobuf(tarfile.PAX_FORMAT)
        add(header, len(header))
        add(path, info.size)
        padding = bytes(-info.size % _BLOCK)
        add(padding, len(padding))
    add(bytes(2 * _BLOCK), 2 * _BLOCK)
    return pieces


class Counted(io.RawIOBase):
    """A file that tells how far it was read, also when it is read again."""

    def __init__(self, file: "BinaryIO | FolderArchive", total: int, progress: Progress | None) -> None:
        self._file = file
        self._total = total
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        if self._progress is not None:
            self._progress(min(self._file.tell(), self._total), self._total)
        return content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
