"""Unpacks untrusted archives: no path leaves the folder, no link is created, sizes are bounded."""

import gzip
import io
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, NamedTuple

from app.domain.errors import InvalidRequest, TooLarge
from app.intake.models.stored_weights import is_pickle
from app.intake.models.zip_directory import count_members

MAX_MEMBERS = 1000
MAX_RATIO = 200
"""Unpacked over packed bytes. Weights hardly shrink, text shrinks tenfold; bombs grow a thousandfold."""

_RATIO_FLOOR_BYTES = 16 * 2**20
_MAX_READ_BYTES = 2**20
_MAX_HEADER_BYTES = 8 * 2**20  # of a tar, all its headers and what fills its blocks
_MAX_DEPTH = 6  # folders and the file; some tools pack all that leads to a model's folder
_MAX_NAME = 255
_MAX_PATH = 1024
_SHOWN = 200
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error),
    # As the libraries meet hostile headers.
    *(EOFError, ValueError, LookupError, OverflowError, NotImplementedError, RecursionError),
)
_ADVICE_ON_LINKS = "Pack plain files: with tar --dereference (-h), or a copy made by cp -rL."
_CLASHES = (FileExistsError, NotADirectoryError, IsADirectoryError)
_MAC_RESOURCES = "__MACOSX"
_GZIP, _ZIP = b"\x1f\x8b", b"PK"


_OTHER_FORMATS = {
    b"7z\xbc\xaf": "a .7z archive",
    b"Rar!": "a .rar archive",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"\xfd7zX": "compressed with xz",
    b"BZh": "compressed with bzip2",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
}


class LeftOut(NamedTuple):
    """Members of an archive that were not written."""

    pickles: Sequence[str] = ()
    """Those that start as a pickle does."""
    others: Sequence[str] = ()


NOTHING: Final = LeftOut()


def unpack(archive: BinaryIO, folder: Path, *, keeps: Callable[[str], bool], max_bytes: int) -> LeftOut:
    """Write the files with known names, in folders as they lie in the archive.

    Args:
        archive: .zip, .tar or .tar.gz, seekable; told apart by its first bytes.
        folder: an empty folder.
        keeps: whether a file of that name is kept; all other members are checked and left where they are.
        max_bytes: of all members together, unpacked.

    Returns:
        The members that were not written.

    Raises:
        InvalidRequest: not an archive, a damaged one, or one that is not safe to unpack.
        TooLarge: more members or bytes than allowed.
    """
    budget = _Budget(archive.seek(0, io.SEEK_END), max_bytes)
    archive.seek(0)
    start = archive.read(16)
    archive.seek(0)
    _require_known_format(start)
    head = start[:2]
    members = _zip_members(archive, budget) if head == _ZIP else _tar_members(archive, budget, head == _GZIP)
    pickles: list[str] = []
    others: list[str] = []
    try:
        for name, content in members:
            target = _target(name, folder, keeps)
            if target is not None:
                _write(content, target)
            elif is_pickle(content.read(4)):
                pickles.append(name)
            else:
                others.append(name)
    except _UNREADABLE as error:
        raise InvalidRequest(
            "invalid_archive",
            f"The file cannot be read as a .zip, .tar or .tar.gz ({str(error)[:_SHOWN]}). Pack the model "
            "folder in one of these formats.",
            pointer="#/file",
        ) from None
    except _CLASHES:
        raise InvalidRequest(
            "invalid_archive",
            "The archive uses one name for both a file and a folder. Pack only the model folder.",
            pointer="#/file",
        ) from None
    return LeftOut(pickles, others)


def _require_known_format(start: bytes) -> None:
    """Say what a file is that is none of the archives, where its first bytes tell."""
    kind = next((kind for magic, kind in _OTHER_FORMATS.items() if start.startswith(magic)), None)
    if start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") < _MAX_READ_BYTES * 100:
        kind = "a .safetensors file"
    if kind is not None:
        raise InvalidRequest(
            "invalid_archive",
            f"The file is {kind}. Pack the model's whole folder, with config.json, model.safetensors and the "
            "tokenizer, as .zip, .tar or .tar.gz.",
            pointer="#/file",
        )


class _Budget:
    """What may still be unpacked. Sizes are those that members declare; readers enforce them."""

    def __init__(self, packed_bytes: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._ratio_bytes = max(_RATIO_FLOOR_BYTES, packed_bytes * MAX_RATIO)
        self._bytes = 0
        self._members = 0

    @property
    def spent_bytes(self) -> int:
        return self._bytes

    def spend(self, size: int) -> None:
        if size < 0:
            raise ValueError("a member with a negative size")
        self._members += 1
        self._bytes += size
        if self._members > MAX_MEMBERS:
            raise _too_many_members()
        if self._bytes > self._max_bytes:
            raise TooLarge(
                "archive_too_large",
                f"The archive exceeds the decompression limit of {self._max_bytes:,} bytes. Pack only the "
                "model folder.",
                max_bytes=self._max_bytes,
            )
        if self._bytes > self._ratio_bytes:
            raise InvalidRequest(
                "archive_bomb",
                f"The archive unpacks to more than {MAX_RATIO} times its size. Pack only the model folder.",
                pointer="#/file",
            )


def _zip_members(archive: BinaryIO, budget: _Budget) -> Iterator[tuple[str, IO[bytes]]]:
    # The library reads the directory of all members before any of them can be counted.
    if count_members(archive, limit=MAX_MEMBERS, max_directory_bytes=_MAX_READ_BYTES) > MAX_MEMBERS:
        raise _too_many_members()
    with zipfile.ZipFile(_ShortReads(archive)) as file:
        for info in file.infolist():
            budget.spend(info.file_size)
            if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _unsafe(info.filename, "is a link or a device", _ADVICE_ON_LINKS)
            if info.flag_bits & 1:
                raise _unsafe(info.filename, "is encrypted", "Pack the folder without a password.")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise _unsafe(
                    info.filename, "uses an unsupported compression", "Pack with Deflate, or as .tar.gz."
                )
            if not info.is_dir():
                with file.open(info) as content:
                    yield info.filename, content


def _tar_members(archive: BinaryIO, budget: _Budget, is_gzip: bool) -> Iterator[tuple[str, IO[bytes]]]:
    with (
        _plain(archive, is_gzip=is_gzip) as plain,
        tarfile.open(fileobj=_FewHeaders(plain, budget), mode="r:") as file,
    ):
        for member in file:
            budget.spend(member.size)
            if member.isdir():
                continue
            content = file.extractfile(member) if member.isreg() and not member.issparse() else None
            if content is None:
                raise _unsafe(member.name, "is a link, a device or a sparse file", _ADVICE_ON_LINKS)
            yield member.name, content


@contextmanager
def _plain(archive: BinaryIO, *, is_gzip: bool) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if not is_gzip:
        yield archive
        return
    with gzip.GzipFile(fileobj=archive, mode="rb") as stream:
        yield stream


class _ShortReads(io.RawIOBase):
    """A stream that refuses long reads: the libraries read headers, of any size, at once."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes, or the rest."""
        content = self._stream.read(min(size, _MAX_READ_BYTES + 1) if size >= 0 else _MAX_READ_BYTES + 1)
        if len(content) > _MAX_READ_BYTES:
            raise ValueError("a header is too long")
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, which a header may name."""
        if whence == io.SEEK_SET and offset < 0:
            raise ValueError("a place before the beginning")  # of a file an OSError, as if the disk failed
        return self._stream.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()


class _FewHeaders(_ShortReads):
    """A tar, in which any number of headers may stand before a member."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, budget: _Budget) -> None:
        super().__init__(stream)
        self._budget = budget

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            raise tarfile.ReadError("a header with a negative size")
        content = super().read(size)
        if self.tell() - self._budget.spent_bytes > _MAX_HEADER_BYTES:
            raise ValueError("its headers are too long")
        return content


def _target(name: str, folder: Path, keeps: Callable[[str], bool]) -> Path | None:
    """Where a member goes; None for one that is not kept."""
    if len(name) > _MAX_PATH:
        raise _unsafe(name, "has a name that is too long")
    path = PurePosixPath(name.replace("\\", "/"))  # as .NET and PowerShell 5 part folders
    if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in name[:2]:
        raise _unsafe(name, "points outside the folder")
    if any(len(part.encode()) > _MAX_NAME for part in path.parts):
        raise _unsafe(name, "has a name that is too long")
    if not keeps(path.name) or len(path.parts) > _MAX_DEPTH or path.parts[0] == _MAC_RESOURCES:
        return None
    return folder.joinpath(*path.parts)


def _write(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, _MAX_READ_BYTES)


def _too_many_members() -> TooLarge:
    return TooLarge(
        "archive_too_large",
        f"The archive has more than {MAX_MEMBERS} members. Pack only the model folder.",
    )


def _unsafe(name: str, what: str, advice: str = "Pack plain files with relative names.") -> InvalidRequest:
    return InvalidRequest(
        "unsafe_archive",
        f"The archive's member {name[:_SHOWN]!r} {what}. {advice}",
        pointer="#/file",
        member=name[:_SHOWN],
    )
