"""What a job takes from the store, and what it gives back."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import PreTrainedModel

from app.core.storage import Storage
from app.domain.documents import Precision
from app.domain.documents.manifest import FileEntry, Files, ModelManifest
from app.domain.errors import JobError, NotFound
from app.domain.methods import TEACHER
from worker.contracts import Teacher
from worker.data.cached_files import is_cached
from worker.export.exports import files_of, make_exports, onnx_name
from worker.job.checkpoint import Checkpoints
from worker.networks.loading import TARGET_TOKENIZER, TOKENIZER, save_network, save_tokenizer
from worker.runner.protocol import JobRequest, StoredCheckpoint, input_folder

logger = logging.getLogger(__name__)

_FORMAT = 2
"""Of what jobs keep for one another: files that an earlier export wrote are not found again."""


def fetch_inputs(request: JobRequest, workdir: Path, storage: Storage, *, with_exports: bool) -> None:
    """Bring the data and the models that the job needs into the work folder.

    Args:
        request: names them.
        workdir: gets the folder ``dataset`` and, for each model, its ``input_folder``.
        storage: holds them.
        with_exports: whether the teacher's ONNX files, of the precisions asked for, come too.
    """
    for role, model in request.inputs.items():
        precisions = request.spec.exports if with_exports and role == TEACHER else []
        _fetch_model(model.manifest, input_folder(workdir, role), storage, precisions=precisions)
    dataset = request.dataset.manifest.files
    _fetch(dataset, dataset.entries, workdir / "dataset", storage)


def fetch_checkpoint(stored: Sequence[StoredCheckpoint], local: Checkpoints, storage: Storage) -> None:
    """Bring the latest checkpoint that is whole into the work folder, unless a later one lies there.

    One that is missing or damaged gives way to the one before it.
    """
    local.remove_damaged()
    for checkpoint in sorted(stored, key=lambda one: one.step, reverse=True):
        if any(step >= checkpoint.step for step in local.steps()):
            break
        path = local.path(checkpoint.step)
        try:
            storage.fetch(checkpoint.key, path)
        except NotFound:
            logger.warning("the checkpoint %s is not in the store", checkpoint.key)
            continue
        if FileEntry.of(path) == checkpoint.file:
            break
        logger.warning("the checkpoint %s is damaged", checkpoint.key)
        path.unlink()
    local.restore_note()


def save_model(network: PreTrainedModel, teacher: Teacher, folder: Path) -> None:
    """Write a model folder on the teacher's tokens, without what an earlier attempt left there."""
    shutil.rmtree(folder, ignore_errors=True)
    save_network(network, folder)
    save_tokenizer(teacher.tokenizer, folder / TOKENIZER)
    if teacher.target_tokenizer is not None:
        save_tokenizer(teacher.target_tokenizer, folder / TARGET_TOKENIZER)


def teacher_exports(
    network: PreTrainedModel, manifest: ModelManifest, request: JobRequest, folder: Path, *, digest: str
) -> dict[Precision, Path]:
    """The teacher's ONNX files: those that came with it, else those of an earlier job, else fresh ones.

    Args:
        network: the teacher, on the CPU.
        manifest: the teacher's.
        request: says which precisions, and where jobs keep what others can use.
        folder: the teacher's fetched files.
        digest: names the teacher's weights.
    """
    precisions = request.spec.exports
    cache = request.cache_dir / "onnx" / f"{_FORMAT}-{digest}"
    fetched = {p: folder / manifest.exports[p].file for p in precisions if p in manifest.exports}
    missing = [p for p in precisions if p not in fetched]
    cached = {p: cache / onnx_name(p, network) for p in missing}
    if not all(is_cached(file) for path in cached.values() for file in files_of(path)):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, suffix=".partial") as scratch:
            for path in make_exports(network, missing, Path(scratch)).values():
                for file in files_of(path):  # two jobs may race: both are whole, either will do
                    file.replace(cache / file.name)
    return fetched | cached


def store_export(files: Files, path: Path, storage: Storage) -> dict[str, FileEntry]:
    """Add an export to a stored folder, under names that only its content decides: nothing is overwritten.

    An encoder's and its decoder's differ in just that word. The name of ``path`` comes first.
    """
    added = {file: FileEntry.of(file) for file in files_of(path)}
    tag = hashlib.sha256("".join(entry.sha256 for entry in added.values()).encode()).hexdigest()[:12]
    stored = {}
    for file, entry in added.items():
        name = f"{file.stem}.{tag}{file.suffix}"
        storage.put_file(f"{files.prefix}/{name}", file)
        stored[name] = entry
    return stored


def _fetch_model(
    manifest: ModelManifest, folder: Path, storage: Storage, *, precisions: Sequence[Precision] = ()
) -> None:
    unwanted = {
        name
        for p, export in manifest.exports.items()
        if p not in precisions
        for name in (export.file, export.decoder_file)
    }
    _fetch(manifest.files, manifest.files.entries.keys() - unwanted, folder, storage)


def _fetch(files: Files, names: Iterable[str], folder: Path, storage: Storage) -> None:
    """Fetch files that are not already here, and compare each with its entry."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path, entry = folder / name, files.entries[name]
        if path.exists() and FileEntry.of(path) == entry:  # an earlier attempt was here
            continue
        storage.fetch(f"{files.prefix}/{name}", path)
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
