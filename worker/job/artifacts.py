"""The files that a job makes."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedModel

from app.domain.documents import Precision
from app.domain.documents.manifest import ModelManifest
from worker.contracts import Teacher
from worker.data.cached_files import is_cached
from worker.export.exports import files_of, make_exports, onnx_name
from worker.job.evaluator import EvaluatedModel
from worker.networks.loading import save_network, save_tokenizers
from worker.runner.protocol import TEACHER_EXPORTS, JobRequest
from worker.runner.workdir import link_or_copy

_FORMAT = 3
"""Of what jobs keep for one another: files that an earlier export wrote are not found again."""


def save_model(student: EvaluatedModel, teacher: Teacher, folder: Path, *, max_length: int) -> None:
    """Write a model folder on the teacher's tokens, without what an earlier attempt left there."""
    shutil.rmtree(folder, ignore_errors=True)
    save_network(student.network, folder)
    token_types = student.architecture.token_types
    save_tokenizers(teacher, folder, max_length=max_length, token_types=token_types)


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
    exports = manifest.exports if manifest.task == request.dataset.manifest.task else {}
    fetched = {p: folder / exports[p].file for p in precisions if p in exports}
    missing = [p for p in precisions if p not in fetched]
    cached = {p: cache / onnx_name(p, network) for p in missing}
    if not all(is_cached(file) for path in cached.values() for file in files_of(path)):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, suffix=".partial") as scratch:
            for path in make_exports(network, missing, Path(scratch)).values():
                for file in files_of(path):  # two jobs may race: both are whole, either will do
                    file.replace(cache / file.name)
    return fetched | cached


def set_aside(exports: Mapping[Precision, Path], workdir: Path) -> None:
    """Put the teacher's new ONNX files where the supervisor takes them from."""
    folder = workdir / TEACHER_EXPORTS
    folder.mkdir(exist_ok=True)
    for path in exports.values():
        for file in files_of(path):
            (folder / file.name).unlink(missing_ok=True)
            link_or_copy(file, folder / file.name)
