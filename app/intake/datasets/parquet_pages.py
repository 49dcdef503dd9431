"""How much a Parquet file's pages say that they hold, read from the pages themselves.

The footer says it too, but a reader learns only by unpacking whether that is true. Pages are what it unpacks:
each has a header in Thrift's compact protocol that says how many values follow and how many bytes they are.
https://parquet.apache.org/docs/file-format/, https://github.com/apache/thrift/blob/master/doc/specs/
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

_DATA, _DATA_2 = 0, 3
_TYPE, _UNPACKED_BYTES, _PACKED_BYTES, _DATA_HEADER, _DATA_HEADER_2 = 1, 2, 3, 5, 8
_VALUES = 1
_MAX_INT32 = 2**31 - 1
_MAX_DEPTH = 8
_MAX_VARINT_BYTES = 10
_MAX_HEADER_BYTES = 64 * 2**10
"""That are read one by one, besides texts that are skipped. One header may stand for any number of pages."""


@dataclass(frozen=True)
class Page:
    """What a page says of itself."""

    values: int
    unpacked_bytes: int


def pages(file: IO[bytes], *, start: int, values: int) -> Iterator[Page]:
    """The pages of one column of one row group, as a reader meets them: until it has ``values`` or more.

    Args:
        file: seekable.
        start: where the first page begins.
        values: what the footer says that the pages hold.

    Raises:
        ValueError: there is something other than a page.
    """
    found = 0
    while found < values:
        file.seek(start)
        header = _Compact(file).struct()
        start = file.tell() + _size(header.get(_PACKED_BYTES))
        page = Page(_values(header), _size(header.get(_UNPACKED_BYTES)))
        found += page.values
        yield page


def _values(header: dict[int, Any]) -> int:
    """Of a page of data; others, such as dictionaries, have none that would become rows."""
    field = {_DATA: _DATA_HEADER, _DATA_2: _DATA_HEADER_2}.get(_size(header.get(_TYPE)))
    if field is None:
        return 0
    data = header.get(field)
    return _size(data.get(_VALUES) if isinstance(data, dict) else None)


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_INT32:
        raise ValueError("a page without a size")
    return value


class _Compact:
    """Reads structures of which nothing is known but the numbers of their fields."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MAX_HEADER_BYTES

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("a page header nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number in fields:  # readers differ in which of the two they believe
                raise ValueError("a page header with a duplicate field")
            fields[number] = self._value(head & 15, depth, in_list=False)
        return fields

    def _value(self, type_: int, depth: int, *, in_list: bool) -> Any:
        match type_:
            case 1 | 2:
                return self._byte() if in_list else type_ == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.struct(depth + 1)
        raise ValueError("a page header with a field of unknown type")

    def _list(self, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("a page header nested too deeply")
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        for _ in range(count):
            self._value(head & 15, depth + 1, in_list=True)

    def _integer(self) -> int:
        """Zigzag: the sign is the lowest bit."""
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for place in range(_MAX_VARINT_BYTES):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise ValueError("a page header with an unterminated number")

    def _byte(self) -> int:
        self._left -= 1
        if self._left < 0:
            raise ValueError("a page header that is too long")
        byte = self._file.read(1)
        if not byte:
            raise ValueError("truncated pages")
        return byte[0]

    def _skip(self, count: int) -> None:
        self._file.seek(count, 1)
