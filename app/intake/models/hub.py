"""Taking a model from a hub: a pinned commit, known files only, sizes known beforehand and held to."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.core.settings import DEFAULT_HUB, Settings
from app.domain.documents.manifest import HubSource
from app.domain.errors import InvalidRequest, TooLarge, Unavailable
from app.intake.models.archives import LeftOut
from app.intake.models.hub_connection import HubConnection, HubFailure
from app.intake.models.missing_weights import refuse_other_weights
from app.intake.models.model_files import MODULES, WEIGHTS, is_model_file, is_shard

_MAX_DESCRIPTION_BYTES = 8 * 2**20
_MIN_BYTES_PER_S = 2**18
"""Of a download as a whole."""
_STEPS = 3  # single waits of the longest kind that may add up beside what the size takes
_NOT_FOUND = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_FIRST_MODULE = re.compile(r"^0_[A-Za-z]+/")
_LATER_MODULE = re.compile(r"[1-9]_[A-Za-z]+/(config\.json|model\.safetensors)")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


class HubReference(BaseModel):
    """A model on the hub."""

    model_config = ConfigDict(extra="forbid")

    hub: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$",
        description="Model id on the hub, such as `org/name`.",
    )
    revision: str = Field(
        default="main",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        description="Branch, tag or commit; the resolved commit is stored.",
    )


class _Lfs(BaseModel):
    sha256: str | None = None


class _File(BaseModel):
    rfilename: str
    size: Annotated[int, Field(ge=0)] | None = None
    lfs: _Lfs | None = None


class _Description(BaseModel):
    """Of a model at one commit, as the hub gives it."""

    sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    siblings: list[_File] = []


@dataclass(frozen=True)
class HubModel:
    """A model at one commit: what of it is to be fetched."""

    source: HubSource
    files: Sequence[_File]

    @property
    def size_bytes(self) -> int:
        return sum(file.size or 0 for file in self.files)


def find(reference: HubReference, *, settings: Settings) -> HubModel:
    """Look a model up, at the commit that its revision names now.

    Raises:
        InvalidRequest: the hub has no such model, or it has no safetensors.
        TooLarge: its files are larger than this server takes.
        Unavailable: the hub does not answer, or not as a hub does.
    """
    with _hub_errors():
        with _connect(settings) as hub:
            description = _describe(hub, reference)
        wanted = _wanted(description.siblings)
        _check(description, wanted, max_bytes=settings.max_unpacked_bytes)
    return HubModel(HubSource(hub=reference.hub, revision=description.sha), wanted)


def fetch(
    model: HubModel, folder: Path, *, settings: Settings, tell: Callable[[int], None] = lambda _: None
) -> None:
    """Write a model's files into an empty folder.

    Args:
        model: as it was found.
        folder: gets them.
        settings: of the hub.
        tell: is told, after each block, how many bytes there are; what it raises ends the download.

    Raises:
        Unavailable: the hub does not answer, or not as a hub does.
    """
    received = 0

    def count(size_bytes: int) -> None:
        nonlocal received
        received += size_bytes
        tell(received)

    commit = f"/{model.source.hub}/resolve/{model.source.revision}"
    with _hub_errors(), _connect(settings, size_bytes=model.size_bytes) as hub:
        for file in model.files:
            _fetch(hub, f"{commit}/{file.rfilename}", file, folder, count)


def _connect(settings: Settings, *, size_bytes: int = 0) -> HubConnection:
    endpoint, step_s = settings.hub_endpoint.rstrip("/"), settings.hub_timeout.total_seconds()
    return HubConnection(
        endpoint,
        redirects=settings.hub_redirects,
        allow_private=endpoint != DEFAULT_HUB,
        step_s=step_s,
        timeout_s=_STEPS * step_s + size_bytes / _MIN_BYTES_PER_S,
    )


def _describe(hub: HubConnection, reference: HubReference) -> _Description:
    path = f"/api/models/{reference.hub}/revision/{quote(reference.revision, safe='')}?blobs=true"
    with hub.get(path) as (status, chunks):
        if status in _NOT_FOUND:
            raise InvalidRequest(
                "hub_model_not_found",
                f"The hub has no public model {reference.hub!r} at revision {reference.revision!r}. Check "
                "the id and the revision, or upload the files.",
                pointer="#/source/hub",
            )
        _require_ok(status)
        content = bytearray()
        for chunk in chunks:
            content += chunk
            if len(content) > _MAX_DESCRIPTION_BYTES:
                raise HubFailure(f"it describes the model in more than {_MAX_DESCRIPTION_BYTES:,} bytes")
    try:
        return _Description.model_validate_json(bytes(content))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise HubFailure(f"its description of the model cannot be read: {fault['msg']}") from None


def _wanted(files: list[_File]) -> list[_File]:
    """Those at the top that a model is read from, and those of an old sentence-transformer's network."""
    names = {file.rfilename for file in files}
    top = [file for file in files if is_model_file(file.rfilename)]
    if MODULES in names:
        top += [file for file in files if _LATER_MODULE.fullmatch(file.rfilename)]
    if WEIGHTS in names:
        return [file for file in top if not is_shard(file.rfilename)]
    if MODULES in names and not any(is_shard(file.rfilename) for file in top):
        first = [file for file in files if is_model_file(_FIRST_MODULE.sub("", file.rfilename))]
        return first + [file for file in top if file not in first]
    return top


def _fetch(hub: HubConnection, path: str, file: _File, folder: Path, count: Callable[[int], None]) -> None:
    """Write a file that is exactly as long as it was said to be."""
    digest, received = hashlib.sha256(), 0
    place = folder / file.rfilename
    place.parent.mkdir(exist_ok=True)
    with hub.get(path) as (status, chunks), place.open("xb") as target:
        _require_ok(status)
        for chunk in chunks:
            received += len(chunk)
            if received > (file.size or 0):
                break
            digest.update(chunk)
            target.write(chunk)
            count(len(chunk))
    if received != file.size:
        raise HubFailure(f"{file.rfilename} is not of the size that it gives")
    if file.lfs is not None and file.lfs.sha256 not in (None, digest.hexdigest()):
        raise HubFailure(f"{file.rfilename} is not of the sha256 that it gives")


def _require_ok(status: int) -> None:
    if status != HTTPStatus.OK:
        raise HubFailure(f"HTTP status {status}")


@contextmanager
def _hub_errors() -> Iterator[None]:
    try:
        yield
    except HubFailure as error:
        raise Unavailable(
            "hub_unavailable", f"The hub did not respond as it should ({error}). Retry later."
        ) from error


def _check(description: _Description, wanted: list[_File], *, max_bytes: int) -> None:
    names = [file.rfilename for file in description.siblings]
    if not any(name.rpartition("/")[2].startswith(WEIGHTS) for name in names):
        pickles = [name for name in names if name.endswith(_PICKLES)]
        refuse_other_weights(LeftOut(pickles, [name for name in names if name not in pickles]))
    if len({file.rfilename for file in wanted}) < len(wanted) or any(file.size is None for file in wanted):
        raise HubFailure("it does not give the sizes of the files")
    size_bytes = sum(file.size or 0 for file in wanted)
    if size_bytes > max_bytes:
        raise TooLarge(
            "model_too_large",
            f"The model's files have {size_bytes:,} bytes, more than the limit of {max_bytes:,}. Use a "
            "smaller model.",
            size_bytes=size_bytes,
            max_bytes=max_bytes,
        )
