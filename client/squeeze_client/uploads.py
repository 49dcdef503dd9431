"""Files on their way to the service: small ones in one request, large ones in parts that can be resumed."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from squeeze_client.archives import Counted, FolderArchive, Progress
from squeeze_client.effects import Sleep, Steps
from squeeze_client.errors import ConnectionFailed, NotUploadable, error_of
from squeeze_client.operations import call
from squeeze_client.sending import MAX_RETRIES, once, pause, retry_pause, send

IN_PARTS_ABOVE = 64 * 2**20
"""Bytes above which a file is sent in parts."""
PART_BYTES = 16 * 2**20
"""Bytes of a part."""
_TIMEOUT_S = 600.0
_TUS = {"tus-resumable": "1.0.0"}


@dataclass(frozen=True)
class Content:
    """Something to send: the name of a file, its length in bytes, and how to open it."""

    filename: str
    length: int
    open: Callable[[], "BinaryIO | FolderArchive"]

    @classmethod
    def of_file(cls, path: Path) -> "Content":
        """A file as it is."""
        return cls(path.name, path.stat().st_size, lambda: path.open("rb"))

    @classmethod
    def of_folder(cls, name: str, files: Mapping[str, Path]) -> "Content":
        """Files as one archive."""
        return cls(f"{name}.tar", FolderArchive(files).length, lambda: FolderArchive(files))


@dataclass
class _Sum:
    """Progress over several contents, of which one is sent at a time."""

    progress: Progress | None
    total: int
    before: int = 0

    def of_next(self, content: Content) -> Progress | None:
        if self.progress is None:
            return None
        report, before, total = self.progress, self.before, self.total
        self.before += content.length
        return lambda done, _: report(before + done, total)


def upload(
    operation: str,
    form: Mapping[str, str],
    contents: Mapping[str, Content],
    *,
    refer: Callable[[dict[str, str]], dict[str, Any]],
    params: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Steps[httpx.Response]:
    """Send contents with a form; those that are large go ahead in parts.

    Args:
        operation: that takes the form.
        form: its fields.
        contents: by the name of the field.
        refer: given ids of uploads by the name of the field, what the request is then made of.
        params: of the query.
        progress: is told how many bytes of all contents were sent.
    """
    for content in contents.values():
        if not content.length:
            raise NotUploadable(f"{content.filename} is empty.")
    sums = _Sum(progress, sum(content.length for content in contents.values()))
    ids: dict[str, str] = {}
    for name, content in contents.items():
        if content.length > IN_PARTS_ABOVE:
            ids[name] = yield from send_in_parts(content, sums.of_next(content))
    rest = {name: content for name, content in contents.items() if name not in ids}
    with _opened(rest, sums) as files:
        request: dict[str, Any] = {"form": dict(form), "files": files or None}
        if ids:
            request |= refer(ids)
        answer = yield from send(once(call(operation, params=params or {}, timeout_s=_TIMEOUT_S, **request)))
    return answer


def send_in_parts(content: Content, progress: Progress | None) -> Steps[str]:
    """Send a content by the tus protocol, going on where it was broken off; the upload's id."""
    metadata = "filename " + base64.b64encode(content.filename.encode()).decode()
    headers = {**_TUS, "upload-length": str(content.length), "upload-metadata": metadata}
    created = yield from send(once(call("createUpload", headers=headers)))
    upload_id: str = created.json()["id"]
    place = {"upload_id": upload_id}
    offset, attempt = 0, 0
    with content.open() as file:
        while offset < content.length:
            file.seek(offset)
            part = call(
                "appendToUpload",
                place,
                headers={
                    **_TUS,
                    "upload-offset": str(offset),
                    "content-type": "application/offset+octet-stream",
                },
                content=file.read(PART_BYTES),
                timeout_s=_TIMEOUT_S,
            )
            try:
                answer: httpx.Response = yield part
                wait_s = retry_pause(answer, attempt) if answer.is_error else None
                is_conflict = answer.status_code == httpx.codes.CONFLICT
                if answer.is_error and wait_s is None and not is_conflict:
                    raise error_of(answer)
                error: Exception | None = error_of(answer) if answer.is_error else None
            except httpx.TransportError as failure:
                wait_s, error = pause(attempt), ConnectionFailed(f"The upload broke off: {failure}")
            if error is None:
                offset, attempt = int(answer.headers["upload-offset"]), 0
                if progress is not None:
                    progress(offset, content.length)
                continue
            attempt += 1
            if attempt > MAX_RETRIES:
                raise error
            yield Sleep(wait_s or pause(attempt))
            where = yield from send(call("getUploadOffset", place, headers=_TUS))
            offset = int(where.headers["upload-offset"])
    return upload_id


@contextmanager
def _opened(contents: Mapping[str, Content], sums: _Sum) -> Iterator[dict[str, tuple[str, Any]]]:
    files = {name: content.open() for name, content in contents.items()}
    try:
        yield {
            name: (content.filename, Counted(files[name], content.length, sums.of_next(content)))
            for name, content in contents.items()
        }
    finally:
        for file in files.values():
            file.close()
