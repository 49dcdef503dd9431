"""The console's files as `make console` leaves them."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
HASHED: Final = "assets/"
"""Files whose names change with their content."""

_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class BuiltFile(NamedTuple):
    """A file as it is sent."""

    content: bytes
    compressed: bytes
    """By gzip."""
    media_type: str
    etag: str


@cache
def built_files() -> Mapping[str, BuiltFile]:
    """All of them by path: a request can name no other file. Read when the first page is asked for."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES)
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> BuiltFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return BuiltFile(
        content, gzip.compress(content, mtime=0), _MEDIA_TYPES[path.suffix], etag=f'"{digest[:32]}"'
    )
