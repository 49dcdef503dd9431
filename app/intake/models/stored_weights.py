"""Reading ``model.safetensors``: its header, and of its tensors those few whose values matter here."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from app.domain.architectures.tensors import Shapes
from app.domain.errors import InvalidRequest

_MAX_HEADER_BYTES = 4 * 2**20  # of JSON, which is parsed while all other threads wait
_FLOATS: dict[str, "np.dtype[Any]"] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}
_EXPONENTS: dict[str, Any] = {
    "F16": np.uint16(0x7C00),
    "F32": np.uint32(0x7F80_0000),
    "F64": np.uint64(0x7FF0_0000_0000_0000),
    "BF16": np.uint16(0x7F80),
}
"""The bits of a number that are all set where it is infinite or NaN."""

_LEARNT = ("weight", "bias")
_MAX_TENSORS = 10_000
"""The deepest model that a config may describe has some 2,000."""

MAX_NAME = 256
"""Characters of a tensor's name."""

_MAX_DIMENSIONS = 8
_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file, and what it is."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    """In the file."""
    end: int


class StoredWeights:
    """A file of weights.

    Args:
        path: of the file.
        legacy: last parts of tensor names in old files, and what they are called today.

    Raises:
        InvalidRequest: it is not safetensors, or holds weights that are no floating-point numbers.
    """

    def __init__(self, path: Path, *, legacy: Mapping[str, str] = MappingProxyType({})) -> None:
        self._path = path
        self._tensors = {_modern(name, legacy): tensor for name, tensor in read_header(path)}

    @property
    def shapes(self) -> Shapes:
        return {name: tensor.shape for name, tensor in self._tensors.items()}

    def equal(self, one: str, other: str) -> bool:
        """Whether two tensors hold the same numbers in the same form."""
        first, second = self._tensors[one], self._tensors[other]
        if (first.dtype, first.shape) != (second.dtype, second.shape):
            return False
        return all(a == b for a, b in zip(self._chunks(first), self._chunks(second), strict=True))

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor's values."""
        tensor = self._tensors[name]
        numbers = np.frombuffer(b"".join(self._chunks(tensor)), _FLOATS[tensor.dtype])
        if tensor.dtype == "BF16":  # the upper half of an fp32
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        return np.asarray(numbers.reshape(tensor.shape), np.float32)

    def require_finite(self) -> None:
        """Raise where a number is infinite or NaN: nothing can be computed or learnt with it."""
        for name, tensor in self._tensors.items():
            exponent = _EXPONENTS.get(tensor.dtype)
            if exponent is not None and not all(
                _is_finite(chunk, exponent) for chunk in self._chunks(tensor)
            ):
                raise InvalidRequest(
                    "invalid_weights",
                    f"model.safetensors holds infinite or NaN values in {name}. Upload a checkpoint from "
                    "before the training diverged.",
                )

    def _chunks(self, tensor: StoredTensor) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(tensor.begin)
            for begin in range(tensor.begin, tensor.end, _CHUNK_BYTES):
                yield file.read(min(_CHUNK_BYTES, tensor.end - begin))


def tensor_names(path: Path) -> list[str]:
    return [name for name, _ in read_header(path)]


def read_header(path: Path) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors in a file, by name.

    Raises:
        InvalidRequest: it is not safetensors, or holds weights that are no floating-point numbers.
    """
    with path.open("rb") as file:
        start = file.read(9)
        header_bytes = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or 8 + header_bytes > path.stat().st_size:
            # Only now: the length of a sound header can read like the start of a pickle.
            raise (
                pickled_weights(path.name)
                if is_pickle(start)
                else _invalid(path.name, "is not in the safetensors format")
            )
        if header_bytes > _MAX_HEADER_BYTES:
            raise _invalid(
                path.name,
                f"has a header of {header_bytes:,} bytes; at most {_MAX_HEADER_BYTES:,} are supported",
            )
        header = start[8:] + file.read(header_bytes - 1)
    entries = _entries(path, header)
    if len(entries) > _MAX_TENSORS:
        raise _invalid(path.name, f"holds {len(entries):,} tensors, more than the limit of {_MAX_TENSORS:,}")
    try:
        with safe_open(path, "np"):  # compares header and file with one another
            pass
    except SafetensorError as error:
        raise _invalid(path.name, f"cannot be read ({str(error)[:200]})") from None
    for name, entry in entries.items():
        if len(name) > MAX_NAME:
            raise _invalid(
                path.name, f"holds a tensor whose name is longer than {MAX_NAME} characters: {name[:50]!r}..."
            )
        if len(entry["shape"]) > _MAX_DIMENSIONS:
            raise _invalid(path.name, f"holds {name} with more than {_MAX_DIMENSIONS} dimensions")
        if _is_learnt(name) and entry["dtype"] not in _FLOATS:
            raise _invalid(path.name, f"holds {name} as {entry['dtype']}, not in a floating-point type")
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        yield name, StoredTensor(entry["dtype"], tuple(entry["shape"]), begin, end)


def _entries(path: Path, header: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise _invalid(
            path.name, f"cannot be read (its header is not valid JSON: {str(error)[:200]})"
        ) from None
    entries.pop("__metadata__", None)  # an object: the header begins as one
    return dict(entries)


def _is_finite(chunk: bytes, exponent: Any) -> bool:
    return not bool(((np.frombuffer(chunk, exponent.dtype) & exponent) == exponent).any())


def _is_learnt(name: str) -> bool:
    """By the last part of a dotted name, such as ``bias`` or ``weight_ih_l0``."""
    leaf = name.rpartition(".")[2]
    return any(word in leaf for word in _LEARNT)


def _modern(name: str, legacy: Mapping[str, str]) -> str:
    stem, _, leaf = name.rpartition(".")
    return f"{stem}.{legacy[leaf]}" if leaf in legacy else name


def _invalid(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_weights",
        f"{name} {what}. Save the model again with save_pretrained() and upload that folder.",
    )


def is_pickle(head: bytes) -> bool:
    """Whether a file's first bytes are those of a pickle, bare or in the zip that torch.save makes."""
    return (head[:1] == b"\x80" and head[1:2] in {b"\2", b"\3", b"\4", b"\5"}) or head[:4] == b"PK\3\4"


def pickled_weights(name: str) -> InvalidRequest:
    return InvalidRequest(
        "pickled_weights",
        f"{name} holds pickled weights, which can run code when opened. Save the model as safetensors: "
        "model.save_pretrained(folder, safe_serialization=True).",
        file=name,
    )
