"""Files by key, in a folder or in an S3-compatible bucket, through one library."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from app.domain.documents.manifest import Files
from app.domain.errors import NotFound

_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=3)
_RETRY_TIMEOUT = timedelta(seconds=10)
_CHUNK_BYTES = 4 * 2**20


def project_prefix(
    project_id: str, kind: Literal["models", "datasets", "checkpoints", "uploads"], name: str
) -> str:
    """Where files of a project are written; rows name where they are, which for older ones is elsewhere."""
    return f"projects/{project_id}/{kind}/{name}"


class Storage:
    """Keys are ``prefix/name``; a prefix is written once and never changed."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def from_url(
        cls, url: str, *, s3_endpoint: str | None = None, timeout: timedelta = _TIMEOUT
    ) -> "Storage":
        """``file:///folder`` or ``s3://bucket/prefix``; S3 credentials come from the environment."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            Path(parts.path).mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(parts.path, automatic_cleanup=True))  # of folders that become empty
        if parts.scheme == "s3":
            plain_http = s3_endpoint is not None and s3_endpoint.startswith("http://")
            return cls(
                S3Store(
                    parts.netloc,
                    prefix=parts.path.strip("/") or None,
                    endpoint=s3_endpoint,
                    client_options={
                        "allow_http": plain_http,
                        "connect_timeout": min(timeout, _CONNECT_TIMEOUT),
                        "timeout": timeout,
                    },
                    retry_config={"max_retries": 2, "retry_timeout": min(timeout, _RETRY_TIMEOUT)},
                )
            )
        raise ValueError(f"storage URL must start with file:// or s3://, got {url!r}")

    def put_file(self, key: str, file: Path | BinaryIO) -> None:
        obstore.put(self._store, key, file)

    def put_folder(self, prefix: str, folder: Path) -> Files:
        """Store the files of a folder under a prefix, all of them or none; links are left out."""
        files = Files.of(folder, prefix=prefix)
        try:
            for name in files.entries:
                self.put_file(f"{prefix}/{name}", folder / name)
        except BaseException:
            self.delete_prefix(prefix)
            raise
        return files

    def fetch(self, key: str, path: Path) -> None:
        """Write an object to a local file, streaming; it is whole or it is not there.

        Raises:
            NotFound: no such object.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        with partial.open("wb") as file:
            for chunk in self.stream(key):
                file.write(chunk)
        partial.replace(path)

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in chunks; it is looked up before the first one.

        Raises:
            NotFound: no such object.
        """
        try:
            result = obstore.get(self._store, key)
        except (NotFoundError, FileNotFoundError):
            raise NotFound("file", key) from None
        return (bytes(chunk) for chunk in result.stream(min_chunk_size=_CHUNK_BYTES))

    def keys(self, prefix: str) -> list[str]:
        return list(self.sizes(prefix))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes by key."""
        return {meta["path"]: meta["size"] for batch in obstore.list(self._store, prefix) for meta in batch}

    def delete_prefix(self, prefix: str) -> None:
        self.delete_files(self.keys(prefix))

    def delete_files(self, keys: Sequence[str]) -> None:
        """Delete files; those that are gone already do no harm."""
        if not keys:
            return
        try:
            obstore.delete(self._store, keys)
        except (NotFoundError, FileNotFoundError):  # which may have stopped at the first one
            for key in keys:
                with suppress(NotFoundError, FileNotFoundError):
                    obstore.delete(self._store, key)

    def check(self) -> None:
        """Raise when the store does not answer."""
        next(iter(obstore.list(self._store, "health", chunk_size=1)), None)
