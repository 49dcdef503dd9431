"""Tensors as they are sent: in the JSON, or as bytes behind it."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.errors import InvalidRequest
from app.inference.protocols.kserve.schemas import InputTensor, OutputTensor
from app.inference.protocols.limits import MAX_CHARACTERS, MAX_INPUTS

HEADER_LENGTH: Final = "inference-header-content-length"
"""The header that says how many bytes of a body are JSON; none: all."""

_BINARY_SIZE: Final = "binary_data_size"
_LENGTH: Final = struct.Struct("<I")
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "INT64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
    "BYTES": np.dtype(object),
}
"""Of the elements of answers, texts among them, by the protocol's names."""


class Tensor(NamedTuple):
    """Elements of an answer, of the type that ``DTYPES`` gives."""

    datatype: str
    values: npt.NDArray[Any]


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """A body's JSON, and what follows it.

    Raises:
        InvalidRequest: the header is no length of a part of it.
    """
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdecimal() or int(header_length) > len(body):
        raise InvalidRequest(
            "invalid_header_length",
            f"The header Inference-Header-Content-Length is {header_length[:20]!r}; the body has "
            f"{len(body):,} bytes. Give the length of the JSON at its beginning.",
        )
    return body[: int(header_length)], memoryview(body)[int(header_length) :]


def read_texts(inputs: Sequence[InputTensor], content: memoryview) -> dict[str, list[str]]:
    """The texts of each tensor, by its name.

    Args:
        inputs: as the JSON has them.
        content: of those that are not in the JSON, one after the other.

    Raises:
        InvalidRequest: one is of another type or shape than texts, or its elements are too many, too few, too
            long, or no texts.
    """
    found: dict[str, list[str]] = {}
    for tensor in inputs:
        count = _count(tensor)
        if tensor.name in found:
            raise _fault(tensor, "is given twice")
        if _BINARY_SIZE in tensor.parameters:
            part, content = _cut(tensor, content)
            texts = _unpacked(tensor, part)
        else:
            texts = _flat(tensor)
        if len(texts) != count:
            raise _fault(tensor, f"has {len(texts):,} elements; its shape says {count:,}")
        for position, text in enumerate(texts):
            if len(text) > MAX_CHARACTERS:
                what = f"has {len(text):,} characters in element {position}; a text may have at most"
                raise _fault(tensor, f"{what} {MAX_CHARACTERS:,}")
        found[tensor.name] = texts
    if content:
        raise InvalidRequest(
            "surplus_bytes",
            f"The body has {len(content):,} bytes more than its tensors say. Give the size of each in "
            f"{_BINARY_SIZE}.",
        )
    return found


def write_tensor(name: str, tensor: Tensor, *, is_binary: bool) -> tuple[OutputTensor, bytes]:
    """A tensor of an answer, and its bytes behind the JSON."""
    output: OutputTensor = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.values.shape)}
    if not is_binary:
        return {**output, "data": tensor.values.ravel().tolist()}, b""
    if tensor.datatype == "BYTES":
        texts = [text.encode() for text in tensor.values.ravel().tolist()]
        content = b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    else:
        content = tensor.values.tobytes()
    return {**output, "parameters": {_BINARY_SIZE: len(content)}}, content


def _count(tensor: InputTensor) -> int:
    """Elements of a tensor of texts, which is a column of them."""
    if tensor.datatype != "BYTES":
        raise _fault(tensor, f"is of type {tensor.datatype[:20]!r}; texts are BYTES")
    if others := sorted(tensor.parameters.keys() - {_BINARY_SIZE}):
        raise _fault(tensor, f"has the parameter {others[0][:50]!r}; known is {_BINARY_SIZE}")
    if not (len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)):
        raise _fault(tensor, f"has the shape {tensor.shape}; one of texts is [n] or [n, 1]")
    if not 1 <= tensor.shape[0] <= MAX_INPUTS:
        raise _fault(tensor, f"is of {tensor.shape[0]:,} texts; a request may have 1 to {MAX_INPUTS:,}")
    return tensor.shape[0]


def _cut(tensor: InputTensor, content: memoryview) -> tuple[memoryview, memoryview]:
    size = tensor.parameters[_BINARY_SIZE]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _fault(tensor, f"has no number of bytes as {_BINARY_SIZE}")
    if tensor.data is not None:
        raise _fault(tensor, f"has both data and {_BINARY_SIZE}; send one of them")
    if size > len(content):
        raise _fault(tensor, f"is to have {size:,} bytes; {len(content):,} are left of the body")
    return content[:size], content[size:]


def _unpacked(tensor: InputTensor, part: memoryview) -> list[str]:
    """Texts of which each follows its length."""
    texts: list[str] = []
    while part:
        if len(part) < _LENGTH.size:
            raise _fault(tensor, f"ends within the length of element {len(texts)}")
        [length] = _LENGTH.unpack(part[: _LENGTH.size])
        text, part = part[_LENGTH.size : _LENGTH.size + length], part[_LENGTH.size + length :]
        if len(text) < length:
            raise _fault(tensor, f"ends within element {len(texts)}, which is to have {length:,} bytes")
        try:
            texts.append(bytes(text).decode())
        except UnicodeDecodeError:
            raise _fault(tensor, f"has an element {len(texts)} that is not UTF-8") from None
    return texts


def _flat(tensor: InputTensor) -> list[str]:
    """Elements in the JSON, in rows or not."""
    if tensor.data is None:
        raise _fault(tensor, f"has neither data nor {_BINARY_SIZE}")
    texts = []
    for position, item in enumerate(tensor.data):
        match item:
            case str(text) | [str(text)]:
                texts.append(text)
            case _:
                raise _fault(tensor, f"has an element {position} that is no text")
    return texts


def _fault(tensor: InputTensor, what: str) -> InvalidRequest:
    name = tensor.name[:50]
    return InvalidRequest("invalid_tensor", f"Input tensor {name!r} {what}.", tensor=name)
