"""Bodies of requests, which clients may send packed."""

import zlib
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.core.settings import Settings
from app.domain.errors import InvalidRequest, TooLarge

_FORMATS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Content codings, as zlib knows them."""

_MOST_MEMBERS: Final = 16
"""Of a body of gzip. What follows a member is copied to read on: a body of empty ones would take minutes."""


async def body_of(request: Request) -> bytes:
    """A request's body, unpacked: never more of it than an unpacked one may have.

    Raises:
        TooLarge: it has more.
        InvalidRequest: it is not packed as its header says.
        HTTPException: 415, the header names another coding.
    """
    body = await request.body()
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return body
    if coding not in _FORMATS:
        raise HTTPException(
            415,
            f"The body's Content-Encoding is {coding[:50]!r}. Send it as gzip, as deflate, or as it is.",
            headers={"accept-encoding": "gzip, deflate"},
        )
    settings: Settings = request.app.state.settings
    return _unpack(body, coding, most=settings.max_body_bytes)


def _unpack(packed: bytes, coding: str, *, most: int) -> bytes:
    unpacked = bytearray()
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_FORMATS[coding])
        try:
            unpacked += member.decompress(packed, most + 1 - len(unpacked))
        except zlib.error as error:
            raise _damaged(coding, str(error)) from None
        if len(unpacked) > most:
            raise TooLarge(
                "body_too_large",
                f"The body is more than {most:,} bytes once it is unpacked. Send less at once.",
                limit=most,
            )
        if not member.eof:
            raise _damaged(coding, "it ends too early")
        packed = member.unused_data
        if not packed:
            return bytes(unpacked)
    raise _damaged(coding, f"it has more than {_MOST_MEMBERS} members")


def _damaged(coding: str, why: str) -> InvalidRequest:
    return InvalidRequest("damaged_body", f"The body cannot be unpacked as {coding}: {why}.", coding=coding)
