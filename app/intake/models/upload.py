"""A model from somebody: read in a process with limits, described here."""

import io
from pathlib import Path
from typing import Any, BinaryIO

from app.domain.documents.manifest import ModelManifest
from app.domain.errors import InvalidRequest
from app.intake.limited_process import LimitExceededError, Limits, require_plain_files, run_limited
from app.intake.models.reading import MADE, UNPACKED
from app.intake.models.tokenizer import STEP
from app.intake.models.tokenizer_faults import too_expensive

CONVERSION = ("app.intake.models.tokenizer_conversion",)
"""Imports transformers."""

_MEMORY_BYTES = 2 * 2**30
"""XLM-RoBERTa's tokenizer, of a quarter of a million pieces, takes 0.6 GiB and three seconds."""

_CPU_S = 30
_BYTES_PER_CPU_S = 20 * 2**20
"""That are unpacked and checked at the very least; most machines take ten times as many."""
_WALL_PER_CPU = 6
_MADE_BYTES = 2**30
"""Of a file that is made of others, a tokenizer say, however small those have to be."""


def read_upload(
    archive: BinaryIO, folder: Path, *, max_bytes: int, labels: list[str] | None = None
) -> tuple[ModelManifest, Path]:
    """Check the model in an archive.

    Args:
        archive: .zip, .tar or .tar.gz: a file with a descriptor.
        folder: an empty one, for all that is made of it.
        max_bytes: of all members, unpacked.
        labels: names of its head's outputs, in place of those that it has.

    Returns:
        What it is, and the folder within ``folder`` with what is to be stored.

    Raises:
        InvalidRequest: this service cannot take it.
        TooLarge: it unpacks to more than allowed.
        Unavailable: the machine is too busy.
    """
    packed_bytes = archive.seek(0, io.SEEK_END)
    argument = {"folder": str(folder), "max_bytes": max_bytes, "labels": labels}
    limits = _limits(packed_bytes, file_bytes=max_bytes)
    return _read("read_archive", argument, limits, folder, [archive])


def read_download(
    folder: Path, *, max_bytes: int, labels: list[str] | None = None
) -> tuple[ModelManifest, Path]:
    """As ``read_upload``, of the files in a folder's ``UNPACKED``."""
    size_bytes = sum(path.stat().st_size for path in (folder / UNPACKED).iterdir())
    limits = _limits(size_bytes, file_bytes=max_bytes)
    return _read("read_folder", {"folder": str(folder), "labels": labels}, limits, folder, [])


def _limits(size_bytes: int, *, file_bytes: int) -> Limits:
    cpu_s = _CPU_S + size_bytes // _BYTES_PER_CPU_S
    return Limits(
        memory_bytes=_MEMORY_BYTES,
        cpu_s=cpu_s,
        wall_s=_WALL_PER_CPU * cpu_s,
        file_bytes=max(file_bytes, _MADE_BYTES),
    )


def _read(
    function: str, argument: dict[str, Any], limits: Limits, folder: Path, files: list[BinaryIO]
) -> tuple[ModelManifest, Path]:
    try:
        described = run_limited(
            f"app.intake.models.reading:{function}",
            argument,
            limits,
            files=files,
            folder=folder,
            modules=CONVERSION,
        )
    except LimitExceededError as error:
        raise _explained(error, limits) from None
    require_plain_files(folder / MADE)
    return ModelManifest.model_validate(described), folder / MADE


def _explained(error: LimitExceededError, limits: Limits) -> InvalidRequest:
    return too_expensive(error.reason) if error.step == STEP else error.explain("the model", limits)
