"""Whether two requests are the same: a digest of what was sent, taken while it comes in."""

import hashlib
import json
from contextlib import suppress
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY_HEADER: Final = "idempotency-key"
STATE: Final = "fingerprint"
_HEADERS = ("upload-length", "upload-metadata")
"""In which a request that creates an upload says what is meant."""


class TakeFingerprints:
    """Middleware that gives each request with a key its fingerprint, complete once its body was read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if not is_post or KEY_HEADER not in (headers := Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        meant = "".join(headers.get(name, "") for name in _HEADERS).encode()
        fingerprint = Fingerprint(headers.get("content-type", ""), scope["query_string"] + meant)
        scope.setdefault("state", {})[STATE] = fingerprint

        async def observed_receive() -> Message:
            message = await receive()
            fingerprint.update(message.get("body", b""))
            return message

        await self._app(scope, observed_receive, send)


class Fingerprint:
    """The digest of a request's query and body, without what differs each time the same is sent.

    Of JSON neither the order of members nor the white space counts, and defaults, which may change between
    versions, are no part of it. Of a form the delimiter between its parts does not count, which is random.

    Args:
        content_type: the header.
        query: the query string, and what headers say beside it.
    """

    def __init__(self, content_type: str, query: bytes) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""
        self._delimiter = b"\r\n--" + boundary if boundary else b""
        self._digest = hashlib.sha256(query)
        self._part = hashlib.sha256()
        # The end of a form so far, in which a delimiter may begin; of anything else all that came.
        self._unread = bytearray(b"\r\n" if boundary else b"")

    def update(self, chunk: bytes) -> None:
        """Take in the next part of the body."""
        self._unread += chunk
        if not self._delimiter:  # such a body is short
            return
        *ends, begun = self._unread.split(self._delimiter)
        for end in ends:
            self._part.update(end)
            self._finish_part()
        whole = max(0, len(begun) - len(self._delimiter) + 1)
        self._part.update(begun[:whole])
        self._unread = begun[whole:]

    def hexdigest(self) -> str:
        """The fingerprint, once all of the body was read."""
        rest = bytes(self._unread)
        if not self._delimiter:
            with suppress(ValueError, RecursionError):  # what is no JSON is compared as it is
                rest = json.dumps(json.loads(rest), sort_keys=True).encode()
        self._part.update(rest)
        self._unread.clear()
        self._finish_part()
        return self._digest.hexdigest()

    def _finish_part(self) -> None:
        self._digest.update(self._part.digest())
        self._part = hashlib.sha256()
