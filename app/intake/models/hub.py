"""Taking a model from a hub: a fixed host, a pinned revision, known files only, sizes known beforehand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from app.domain.documents.manifest import HubSource
from app.domain.errors import InvalidRequest, TooLarge, Unavailable
from app.intake.models.folder import MODEL_FILES
from app.intake.models.stored_weights import pickled_weights

_TIMEOUT_S = 30.0
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


class HubReference(BaseModel):
    """A model on the hub."""

    model_config = ConfigDict(extra="forbid")

    hub: str = Field(
        pattern=r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$",
        description="Model id on the hub, such as `org/name`.",
    )
    revision: str = Field(
        default="main",
        pattern=r"^[\w.-]{1,100}$",
        description="Branch, tag or commit; the resolved commit is stored.",
    )


def download(reference: HubReference, folder: Path, *, endpoint: str, max_bytes: int) -> HubSource:
    """Fetch a model's files into a folder.

    Raises:
        InvalidRequest: the hub has no such model, or it has no safetensors.
        TooLarge: its files are larger than this server takes.
        Unavailable: the hub does not answer.
    """
    # Imported late: it takes a third of a second, which every start of the API would pay.
    from huggingface_hub import HfApi, snapshot_download

    with _hub_errors(reference):
        info = HfApi(endpoint=endpoint, token=False).model_info(
            reference.hub, revision=reference.revision, files_metadata=True, timeout=_TIMEOUT_S
        )
    _check({file.rfilename: file.size or 0 for file in info.siblings or []}, max_bytes=max_bytes)
    with _hub_errors(reference):
        snapshot_download(
            reference.hub,
            revision=info.sha,
            endpoint=endpoint,
            token=False,  # the server's own credentials are not for its clients
            allow_patterns=sorted(MODEL_FILES),
            local_dir=folder,
            etag_timeout=_TIMEOUT_S,
        )
    return HubSource(hub=reference.hub, revision=str(info.sha))


@contextmanager
def _hub_errors(reference: HubReference) -> Iterator[None]:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError):
        raise InvalidRequest(
            "hub_model_not_found",
            f"The hub has no public model {reference.hub!r} at revision {reference.revision!r}. Check the "
            "id and the revision, or upload the files.",
            pointer="#/source/hub",
        ) from None
    except Exception as error:  # what the transport raises changes with the client's version
        raise Unavailable(
            "hub_unavailable", f"The hub did not respond ({type(error).__name__}). Retry later."
        ) from error


def _check(sizes: dict[str, int], *, max_bytes: int) -> None:
    wanted = sum(size for name, size in sizes.items() if name in MODEL_FILES)
    if wanted > max_bytes:
        raise TooLarge(
            "model_too_large",
            f"The model's files have {wanted:,} bytes, more than the limit of {max_bytes:,}. Use a smaller "
            "model.",
            size_bytes=wanted,
            max_bytes=max_bytes,
        )
    pickles = [name for name in sizes if name.endswith(_PICKLES)]
    if pickles and not any(name.startswith("model.safetensors") for name in sizes):
        raise pickled_weights(pickles[0])
