"""The content of an uploaded file: unpacked, bounded, decoded, and read as often as it takes."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Final

from app.domain.errors import InvalidRequest, TooLarge
from app.intake.datasets.rows import MAX_ROW_BYTES, Place, too_many_bytes

_MAX_RATIO = 200
"""Unpacked over packed bytes: tables shrink tenfold, bombs a thousandfold."""

_GZIP: Final = b"\x1f\x8b"
_RATIO_FLOOR_BYTES = 64 * 2**20
_CHUNK_BYTES: Final = 2**20
_UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_WESTERN: Final = "cp1252"

_SEQUENCES: Final = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_IN_WORDS: Final = re.compile(
    rb"[A-Za-z\xc0-\xff][\xa1-\xa9\xab\xac\xae-\xb3\xb6\xb8\xb9\xbb-\xbf](?=[a-z\xe0-\xff])"
)
"""Signs of Windows-1252 within words, where other encodings have letters."""

_RUNS: Final = re.compile(rb"[\x80-\xff]{3,}")
_ASCII: Final = bytes(range(128))
_NO_LETTERS: Final = re.compile(rb"[^A-Za-z]+")
_HIGH_LETTERS: Final = bytes({*range(0xC0, 0x100), *b"\x8a\x8c\x8e\x9a\x9c\x9e\x9f"} - {0xD7, 0xF7})
_UNUSED: Final = b"\x81\x8d\x8f\x90\x9d"
_MAX_HIGH_SHARE: Final = 0.3
"""Of letters: French has 4 % that are no ASCII, Russian in another encoding nearly all."""

_MAX_SIGN_SHARE: Final = 0.05
"""Of such signs, and of long runs, where Western Europe has single letters between others."""


class Content:
    """The bytes of a file that may be a gzip bomb, or no gzip at all.

    Args:
        file: seekable.
        is_gzip: whether its name says that it is packed; if the content says so, it is.
        place: of the reader, for messages.
        max_bytes: that it may have once unpacked.
    """

    def __init__(self, file: BinaryIO, *, is_gzip: bool, place: Place, max_bytes: int) -> None:
        packed = file.seek(0, io.SEEK_END)
        file.seek(0)
        is_gzip = is_gzip or file.read(len(_GZIP)) == _GZIP  # as no text and no table begins
        file.seek(0)
        self._content: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file, mode="rb") if is_gzip else file
        self.place = place
        self.max_bytes = min(max_bytes, max(_RATIO_FLOOR_BYTES, packed * _MAX_RATIO))
        self._bytes = 0

    def rewind(self) -> None:
        """Go back to the beginning, to read all of it again."""
        self._content.seek(0)
        self._bytes = 0

    def read(self, size: int) -> bytes:
        return self._count(self._guarded(self._content.read, size))

    def readline(self) -> bytes:
        """A line, or the beginning of one that is longer than a row may be."""
        return self._count(self._guarded(self._content.readline, MAX_ROW_BYTES + 1))

    def chunks(self) -> Iterator[bytes]:
        """All of it from the beginning, or as much as may be read: who reads the rows learns of the rest."""
        self.rewind()
        while self._bytes < self.max_bytes:
            chunk = self._guarded(self._content.read, _CHUNK_BYTES)
            if not chunk:
                return
            self._bytes += len(chunk)
            yield chunk

    def _guarded(self, read: Any, size: int) -> bytes:
        try:
            content: bytes = read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidRequest(
                "invalid_gzip",
                f"{self.place.split}: the file cannot be decompressed ({error}). Compress it again with "
                "gzip.",
                pointer=f"#/{self.place.split}",
            ) from None
        return content

    def _count(self, content: bytes) -> bytes:
        self._bytes += len(content)
        if self._bytes > self.max_bytes:
            raise too_many_bytes(self.place, self.max_bytes)
        return content


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a text are to be read."""

    name: str
    line_end: bytes = b"\n"
    has_quotes: bool = True
    has_backslashes: bool = True
    is_guess: bool = False
    """Whether it is none that the file names or that can be told for sure."""

    @property
    def is_utf_16(self) -> bool:
        return self.name in _UTF_16.values()

    @property
    def of_lines(self) -> str:
        """That of lines, which are UTF-8 where the file is UTF-16."""
        return "utf-8" if self.is_utf_16 else self.name


def find_encoding(content: Content, *, is_json: bool = False) -> Encoding:
    """The encoding of a text: UTF-8, UTF-16 with a byte order mark, or what old programs of Windows write.

    Whether it is UTF-8 is decided by all of it. JSON is UTF-8 or UTF-16.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf_8, utf_16 = True, None
    newlines = returns = quotes = backslashes = 0
    for number, chunk in enumerate(content.chunks()):
        if number == 0:
            utf_16 = _UTF_16.get(chunk[:2]) or _unmarked_utf_16(chunk)
        newlines += chunk.count(b"\n")
        returns += chunk.count(b"\r")
        quotes += chunk.count(b'"')
        backslashes += chunk.count(b"\\")
        is_utf_8 = is_utf_8 and _decodes(decoder, chunk)
    is_utf_8 = is_utf_8 and _decodes(decoder, b"", final=True)
    is_western = not (is_utf_8 or utf_16 or is_json) and _is_western(content)
    return Encoding(
        utf_16 or (_WESTERN if is_western else "utf-8"),
        b"\r" if returns and not newlines else b"\n",
        has_quotes=quotes > 0,
        has_backslashes=backslashes > 0,
        is_guess=is_western,
    )


def _unmarked_utf_16(chunk: bytes) -> str | None:
    """UTF-16 without a byte order mark, told by the zeros beside most letters; None where it is none."""
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        high = chunk[start::2]
        if high and high.count(0) > len(high) / 2 and not chunk[1 - start :: 2].count(0):
            return name
    return None


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _is_western(content: Content) -> bool:
    """Whether it looks like a text of Western Europe, one byte a letter."""
    high = letters = high_letters = unused = sequences = signs = in_runs = 0
    for chunk in content.chunks():
        above = chunk.translate(None, _ASCII)
        high += len(above)
        high_letters += len(above) - len(above.translate(None, _HIGH_LETTERS))
        unused += len(above) - len(above.translate(None, _UNUSED))
        letters += len(_NO_LETTERS.sub(b"", chunk))
        sequences += len(_SEQUENCES.findall(chunk))
        signs += len(_IN_WORDS.findall(chunk))
        in_runs += sum(len(run) for run in _RUNS.findall(chunk) if len(set(run)) > 2)  # dashes may be many
    return (
        not unused
        and 4 * sequences <= high  # or it is UTF-8 for the most part
        and high_letters <= _MAX_HIGH_SHARE * (letters + high_letters)
        and max(signs, in_runs) <= _MAX_SIGN_SHARE * high
    )


def read_lines(content: Content, encoding: Encoding) -> Iterator[str]:
    """Lines from the beginning, with or without a byte order mark; ``content.place`` is the last one read.

    Raises:
        InvalidRequest: a line is too long, or not in the encoding; also while lines are read.
        TooLarge: the content unpacks to more than allowed; also while lines are read.
    """
    place = content.place
    place.number = 0
    for line in byte_lines(content, encoding):
        place.number += 1
        if len(line) > MAX_ROW_BYTES:
            raise place.fatal(
                "line_too_long",
                f"the line is longer than {MAX_ROW_BYTES:,} bytes. Shorten the text or fix a missing "
                "newline.",
            )
        if place.number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901 - the mark is no part of the line
        try:
            yield line.decode(encoding.of_lines)
        except UnicodeDecodeError as error:
            raise place.fatal(
                "invalid_utf8",
                f"byte {error.start + 1} is not UTF-8 (0x{line[error.start]:02x}). Save the file as UTF-8.",
                byte=error.start + 1,
            ) from None


def readable_lines(content: Content, encoding: Encoding) -> Iterator[str]:
    """Lines as far as there are such, to find out what they are: who reads the rows learns of the rest."""
    with suppress(InvalidRequest, TooLarge):
        yield from read_lines(content, encoding)


def read_text(content: Content, encoding: Encoding) -> Iterator[str]:
    """All of it from the beginning, in parts; errors as of ``read_lines``."""
    content.rewind()
    decoder = codecs.getincrementaldecoder(encoding.of_lines)()
    is_first = True
    for chunk in _transcoded(content, encoding):
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                "invalid_utf8",
                f"{content.place.split}: the file is not UTF-8 (0x{chunk[error.start]:02x}). Save it as "
                "UTF-8.",
                pointer=f"#/{content.place.split}",
            ) from None
        yield text.removeprefix("\ufeff") if is_first else text
        is_first = False


def byte_lines(content: Content, encoding: Encoding) -> Iterator[bytes]:
    """Lines from the beginning, in UTF-8 or Windows-1252; one that is too long comes in parts."""
    content.rewind()
    if encoding.line_end == b"\n" and not encoding.is_utf_16:
        while line := content.readline():
            yield line
        return
    rest = b""
    for chunk in _transcoded(content, encoding):
        *lines, rest = (rest + chunk).split(encoding.line_end)
        for line in lines:
            yield line + encoding.line_end
        if len(rest) > MAX_ROW_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest


def _transcoded(content: Content, encoding: Encoding) -> Iterator[bytes]:
    """UTF-16 as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding.name)() if encoding.is_utf_16 else None
    while chunk := content.read(_CHUNK_BYTES // 16):
        if decoder is None:
            yield chunk
            continue
        try:
            yield decoder.decode(chunk).encode()
        except UnicodeError:
            raise InvalidRequest(
                "invalid_utf16",
                f"{content.place.split}: the file starts as UTF-16 and is none. Save it as UTF-8.",
                pointer=f"#/{content.place.split}",
            ) from None
