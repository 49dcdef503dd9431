"""The body of a request, received into a file; what had come of one that breaks off is kept."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import IO, Final

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app.errors import CHECKSUM_MISMATCH

ALGORITHMS: Final = ("sha1", "sha256")

_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Checksum:
    """What a client says of a body."""

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, header: str) -> "Checksum":
        """Read such as ``sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=``."""
        algorithm, _, encoded = header.partition(" ")
        try:
            digest = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            digest = b""
        if algorithm not in ALGORITHMS or not digest:
            raise HTTPException(
                400,
                f"Upload-Checksum must be one of {', '.join(ALGORITHMS)}, a space and a digest in base64.",
            )
        return cls(algorithm, digest)


async def receive(request: Request, file: IO[bytes], *, checksum: Checksum | None) -> None:
    """Write the body into a file: what came of it, if it breaks off, but nothing that cannot be checked.

    Raises:
        HTTPException: it has another checksum.
    """
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
    block = bytearray()
    try:
        async for chunk in request.stream():
            block += chunk
            if digest is not None:
                digest.update(chunk)
            if len(block) >= _BLOCK_BYTES:
                await run_sync(file.write, bytes(block))
                block.clear()
    except ClientDisconnect:
        if checksum is not None:
            file.truncate(0)
            return
    await run_sync(file.write, bytes(block))
    await run_sync(file.flush)
    if digest is not None and checksum is not None and digest.digest() != checksum.digest:
        raise HTTPException(CHECKSUM_MISMATCH, "The body has another checksum than Upload-Checksum says.")
