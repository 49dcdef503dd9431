"""What a job has made: from its work folder into the store, once no process of the job is left."""

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from app.core.storage import Storage
from app.domain.documents.manifest import FileEntry, Files, OnnxExport
from worker.runner.protocol import STUDENT, TEACHER_EXPORTS, JobRequest, Succeeded
from worker.runner.transfer import Check


def store_outputs(
    outcome: Succeeded, request: JobRequest, workdir: Path, storage: Storage, check: Check
) -> Succeeded:
    """Store the student's folder, and the teacher's new exports beside its files.

    Returns:
        The outcome with the stored files: their names, sizes and digests are not the job's to say.

    Raises:
        FileNotFoundError: they are not those that the job has made: somebody is deleting the work folder.
    """
    exports: dict[str, OnnxExport] = {}
    added: dict[str, FileEntry] = {}
    if (teacher := request.teacher) is not None:
        for precision, export in outcome.teacher_exports.items():
            check()
            stored = _store_export(teacher.manifest.files, export, workdir / TEACHER_EXPORTS, storage)
            names = dict(zip(("file", "decoder_file"), stored, strict=False))
            exports[precision] = export.model_copy(update=names)
            added |= stored
    check()
    files = storage.put_folder(request.output_prefix, workdir / STUDENT)
    if files.entries != outcome.manifest.files.entries:
        raise _not_found(workdir / STUDENT)
    return outcome.model_copy(
        update={
            "manifest": outcome.manifest.model_copy(update={"files": files}),
            "teacher_exports": exports,
            "teacher_files": added,
        }
    )


def _store_export(files: Files, export: OnnxExport, folder: Path, storage: Storage) -> dict[str, FileEntry]:
    """Add an export to a stored folder, under names that only its content decides: nothing is overwritten.

    An encoder's and its decoder's differ in just that word. The name of the former comes first.
    """
    paths = _files_of(export, folder)
    entries = [FileEntry.of(path) for path in paths]
    tag = hashlib.sha256("".join(entry.sha256 for entry in entries).encode()).hexdigest()[:12]
    stored = {}
    for path, entry in zip(paths, entries, strict=True):
        name = f"{path.stem}.{tag}{path.suffix}"
        storage.put_file(f"{files.prefix}/{name}", path)
        stored[name] = entry
    return stored


def _files_of(export: OnnxExport, folder: Path) -> Sequence[Path]:
    """Raises ValueError for a name that leads out of the folder: it comes from a job's process."""
    names = [export.file] if export.decoder_file is None else [export.file, export.decoder_file]
    paths = [folder / name for name in names]
    for path in paths:
        if path.parent != folder or path.is_symlink():
            raise ValueError(f"an export of the job is no file of {folder}: {path}")
        if not path.is_file():
            raise _not_found(path)
    return paths


def _not_found(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
