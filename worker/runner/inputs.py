"""What a job reads: from the store into its work folder, each file compared with what its row says of it."""

import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from app.core.storage import Storage
from app.domain.documents import Precision
from app.domain.documents.manifest import FileEntry, Files, ModelManifest
from app.domain.errors import JobError, NotFound
from app.domain.methods import TEACHER
from worker.runner.protocol import (
    CHECKPOINTS,
    DATASET,
    JobRequest,
    StoredCheckpoint,
    checkpoint_path,
    input_folder,
)
from worker.runner.transfer import Check

logger = logging.getLogger(__name__)


def fetch_inputs(request: JobRequest, workdir: Path, storage: Storage, check: Check) -> None:
    """Bring the models, the data and the work of earlier attempts into the work folder.

    Raises:
        JobError: a file is missing or damaged.
    """
    for role, model in request.inputs.items():
        precisions = request.spec.exports if role == TEACHER and request.is_compared else ()
        wanted = _wanted_files(model.manifest, precisions)
        _fetch(model.manifest.files, wanted, input_folder(workdir, role), storage, check)
    files = request.dataset.manifest.files
    _fetch(files, files.entries, workdir / DATASET, storage, check)
    fetch_checkpoint(request.checkpoints, workdir / CHECKPOINTS, storage, check)


def fetch_checkpoint(
    stored: Sequence[StoredCheckpoint], folder: Path, storage: Storage, check: Check = lambda: None
) -> None:
    """Have the latest stored checkpoint that is whole in a folder, beside what it holds of this machine's.

    One that is missing or damaged gives way to the one before it.
    """
    for checkpoint in sorted(stored, key=lambda one: one.step, reverse=True):
        check()
        path = checkpoint_path(folder, checkpoint.step)
        if _is_here(path, checkpoint.file):
            return
        fetched = path.with_suffix(".fetched")
        try:
            storage.fetch(checkpoint.key, fetched)
        except NotFound:
            logger.warning("the checkpoint %s is not in the store", checkpoint.key)
            continue
        if FileEntry.of(fetched) == checkpoint.file:
            fetched.replace(path)
            return
        logger.warning("the checkpoint %s is damaged", checkpoint.key)
        fetched.unlink()


def _wanted_files(manifest: ModelManifest, precisions: Collection[Precision]) -> Iterable[str]:
    unwanted = {
        name
        for precision, export in manifest.exports.items()
        if precision not in precisions
        for name in (export.file, export.decoder_file)
    }
    return manifest.files.entries.keys() - unwanted


def _fetch(files: Files, names: Iterable[str], folder: Path, storage: Storage, check: Check) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        check()
        path, entry = folder / name, files.entries[name]
        if _is_here(path, entry):  # an earlier attempt was here
            continue
        key = f"{files.prefix}/{name}"
        try:
            storage.fetch(key, path)
        except NotFound:
            raise JobError(
                "file_missing", f"The stored file {key} is missing. Upload it again.", name=name
            ) from None
        found = FileEntry.of(path)
        if found != entry:
            raise JobError(
                "file_corrupted",
                f"The stored file {name} has sha256 {found.sha256}, expected {entry.sha256}. Upload it "
                "again.",
                name=name,
                expected=entry.sha256,
                actual=found.sha256,
            )


def _is_here(path: Path, entry: FileEntry) -> bool:
    return path.exists() and FileEntry.of(path) == entry
