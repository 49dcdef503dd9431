"""``/console``: the files of the web console. Whatever it shows, it asks the API for."""

from typing import Annotated, Final

from fastapi import APIRouter, Header
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.auth.routes import PublicRoute
from app.console.built_files import HASHED, INDEX, built_files

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PublicRoute)

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""No scripts or styles but those files, no other host, and no text that becomes HTML, whatever it may say."""

_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "Accept-Encoding",
    "x-content-type-options": "nosniff",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"


@router.get("")
@router.get("/{path:path}")
def get_console(
    path: str = INDEX,
    accept_encoding: Annotated[str, Header()] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """A file of the console; for any other path the page, which shows what the path names."""
    files = built_files()
    if path not in files:
        if path.startswith(HASHED):  # of an earlier version: the page itself is not a script
            raise HTTPException(404)
        path = INDEX
    file = files[path]
    headers = _HEADERS | {
        "cache-control": _FOREVER if path.startswith(HASHED) else _ASK_AGAIN,
        "etag": file.etag,
    }
    if if_none_match == file.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in accept_encoding:
        return Response(
            file.compressed, headers=headers | {"content-encoding": "gzip"}, media_type=file.media_type
        )
    return Response(file.content, headers=headers, media_type=file.media_type)
