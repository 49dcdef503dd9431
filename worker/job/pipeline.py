"""One attempt at a job, in the process that ``worker.job.main`` is.

Reads the request in the work folder, reports on standard output, leaves an outcome beside the request.
"""

import logging
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
import transformers
from obstore.exceptions import BaseError as StoreError
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from app.core.storage import Storage
from app.domain.architectures import Architecture
from app.domain.documents import Precision
from app.domain.documents.manifest import FileEntry, ModelManifest, OnnxExport
from app.domain.errors import JobCancelled, JobError, RetryableJobError, SqueezeError
from app.domain.methods import TEACHER
from app.domain.planning import plan_student
from app.domain.tasks import Head
from worker import methods
from worker.contracts import TaskData, Teacher
from worker.data.tokenization import load_task_data
from worker.export.exports import check_exports, make_exports
from worker.job.artifacts import fetch_inputs, save_model, store_export, teacher_exports
from worker.job.context import TRAINING, Cancellation, JobContext, Reporter, Stages
from worker.job.evaluator import EvaluatedModel, Evaluator
from worker.job.latency_probe import LatencyProbe
from worker.job.supervisor_watch import SupervisorWatch
from worker.job.text_warnings import text_warnings
from worker.networks.loading import TOKENIZER, build_network, load_network, load_teacher, load_tokenizer
from worker.networks.new_translator import untrained_translator
from worker.networks.target_scaling import TargetScaler
from worker.numerics.determinism import make_deterministic
from worker.runner.protocol import (
    CHECKPOINT,
    LATENCIES,
    Cancelled,
    EventPipe,
    Failed,
    JobRequest,
    ModelRef,
    Succeeded,
    input_folder,
    read_request,
    write_outcome,
)
from worker.vocabulary.trimming import config_within, count_pieces, trim_vocabulary

logger = logging.getLogger(__name__)

_MEMORY_ADVICE = (
    "The job ran out of memory. Ask for a smaller training.micro_batch_size or training.batch_size, "
    "or a smaller training.max_length."
)


def main(watch: SupervisorWatch) -> None:
    """The child's life, from the request to the outcome."""
    cancellation = Cancellation(check_lease=watch.check)
    cancellation.listen()
    reporter = Reporter(EventPipe().send)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    workdir = Path(sys.argv[1])
    request = read_request(workdir)
    outcome = run(request, workdir, reporter=reporter, cancellation=cancellation)
    watch.check()
    write_outcome(workdir, request, outcome)


def run(
    request: JobRequest, workdir: Path, *, reporter: Reporter, cancellation: Cancellation
) -> Succeeded | Failed | Cancelled:
    """Do the job; whatever goes wrong becomes an outcome with a code and a sentence for the client."""
    try:
        return compress(request, workdir, reporter=reporter, cancellation=cancellation)
    except JobCancelled:
        return Cancelled()
    except Exception as error:
        logger.exception("job %s, attempt %d failed", request.job_id, request.attempt)
        return _failure(error)


def compress(
    request: JobRequest, workdir: Path, *, reporter: Reporter, cancellation: Cancellation
) -> Succeeded:
    """A teacher and its data in; a stored, measured and checked student out."""
    spec, dataset = request.spec, request.dataset.manifest
    storage = Storage.from_url(request.storage_url, s3_endpoint=request.s3_endpoint)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    has_teacher = _is_compared(request)
    stage = Stages(reporter, cancellation)

    with stage("fetching"):
        fetch_inputs(request, workdir, storage, with_exports=has_teacher)
    with stage("loading"):
        make_deterministic(spec.training.seed, device)
        teacher, most_tokens = _teacher(request, workdir)
        max_length = min(spec.training.max_length, most_tokens)
    with stage("tokenizing"):
        data, test = load_task_data(workdir / "dataset", dataset, teacher=teacher, max_length=max_length)
        for warning in text_warnings(data, teacher, max_length=max_length, most_tokens=most_tokens):
            reporter.message(warning, is_warning=True)
    with stage("planning"):
        architecture = _plan(request, teacher, data, workdir)
    bench = Evaluator(data=data, test=test, device=device)
    candidate_t = bench.candidate(teacher.network, teacher.architecture) if has_teacher else None
    if candidate_t is not None:
        with stage("evaluating_teacher"):
            _measure_teacher(candidate_t, request, bench)
            reporter.metrics("evaluating_teacher", 0, candidate_t.quality["dev"])
    whole, bench_s = teacher, bench
    if architecture.vocabulary < teacher.architecture.vocabulary:
        with stage("trimming"):
            counts = count_pieces([data.train, data.unlabeled], teacher.architecture.vocabulary)
            teacher = trim_vocabulary(teacher, counts, architecture.vocabulary, task=dataset.task)
            if teacher.architecture.vocabulary < architecture.vocabulary:
                reporter.message(
                    f"{teacher.architecture.vocabulary} word pieces are made of the texts' letters, of "
                    f"{architecture.vocabulary} planned: the student knows those."
                )
            architecture = architecture.model_copy(update={"vocabulary": teacher.architecture.vocabulary})
            data, test = load_task_data(workdir / "dataset", dataset, teacher=teacher, max_length=max_length)
            bench_s = Evaluator(data=data, test=test, device=device)
    with stage(TRAINING):
        make_deterministic(spec.training.seed, device)
        scale = TargetScaler.of(data)
        context = JobContext(
            device=device,
            training=spec.training,
            architecture=architecture,
            cache_dir=request.cache_dir,
            checkpoint=workdir / CHECKPOINT,
            checkpoint_interval_s=request.checkpoint_interval_s,
            reporter=reporter,
            cancellation=cancellation,
            load_model=lambda role: _load_input(role, request, workdir, teacher.tokenizer, scale),
        )
        student = methods.load(spec.method).compress(
            # A head that was drawn anew is on no scale yet.
            scale.teacher(teacher) if _has_own_head(request.teacher, request) else teacher,
            scale.data(data),
            spec.method,
            context,
        )
        scale.restore(student.network)
    candidate_s = bench_s.candidate(student.network, architecture)
    with stage("evaluating"):
        bench_s.measure_dev(candidate_s)
        reporter.metrics("evaluating", 0, candidate_s.quality["dev"])
        _warn_if_untrained(candidate_s, bench_s, reporter)
    with stage("exporting"):
        folder = workdir / "student"
        save_model(student.network.cpu(), teacher, folder)
        candidate_s.paths = make_exports(student.network, spec.exports, folder)
    with stage("checking"):
        bench_s.compare_exports(candidate_s)
        _check_exports(candidate_s.exports, request)
    with stage("measuring"):
        bench_s.measure_latency(candidate_s)
        bench_s.look_at_test(candidate_s)
        if candidate_t is not None:
            _export_teacher(
                candidate_t, whole, request, bench, folder=input_folder(workdir, TEACHER), reporter=reporter
            )
            bench.look_at_test(candidate_t)
    with stage("storing"):
        added, added_files = _store_teacher_exports(candidate_t, request, storage)
        files = storage.put_folder(request.output_prefix, folder)

    report = bench.report(candidate_t, candidate_s, method=student.metrics, seconds=stage.seconds)
    return Succeeded(
        manifest=ModelManifest(
            files=files,
            architecture=candidate_s.architecture,
            task=dataset.task,
            labels=dataset.labels or None,
            parameters=architecture.count(head=data.head).total,
            lowercase=None if request.teacher is None else request.teacher.manifest.lowercase,
            max_length=max_length,  # what lies beyond was never trained
            exports=dict(candidate_s.exports),
        ),
        metrics=dict(candidate_s.quality),
        report=report,
        teacher_exports=added,
        teacher_files=added_files,
    )


def _teacher(request: JobRequest, workdir: Path) -> tuple[Teacher, int]:
    """The teacher and the most tokens that it takes; one untrained where scratch is to make the first."""
    spec, dataset = request.spec, request.dataset.manifest
    if request.teacher is None:
        architecture = request.planned_student
        if architecture is None:
            # How many words, the plan says.
            head = Head.of(dataset.task, labels=len(dataset.labels), vocabulary=1)
            architecture = plan_student(None, spec.method, spec.target, head=head).architecture
        teacher = untrained_translator(workdir / "dataset", architecture)
        return teacher, teacher.architecture.positions
    manifest = request.teacher.manifest
    teacher = load_teacher(input_folder(workdir, TEACHER), manifest, task=dataset.task, labels=dataset.labels)
    return teacher, manifest.max_length


def _plan(request: JobRequest, teacher: Teacher, data: TaskData, workdir: Path) -> Architecture:
    """The student that the client was shown; where the target bounds the latency, one found by measuring."""

    def build(architecture: Architecture, head: Head) -> PreTrainedModel:
        return build_network(
            config_within(teacher.network.config, architecture.vocabulary), architecture, head
        )

    if request.teacher is None:
        return teacher.architecture
    if request.planned_student is not None:
        return request.planned_student
    latency = LatencyProbe(build, data, known=workdir / LATENCIES)
    spec = request.spec
    return plan_student(
        teacher.architecture, spec.method, spec.target, head=data.head, latency=latency
    ).architecture


def _measure_teacher(candidate: EvaluatedModel, request: JobRequest, bench: Evaluator) -> None:
    """Raises ``JobError`` when there is nothing to learn from the teacher."""
    quality: Mapping[str, float] = {}
    with suppress(JobError):  # its logits are not numbers
        bench.measure_dev(candidate)
        quality = candidate.quality["dev"]
    reached, baseline = quality.get(bench.metric, math.nan), bench.trivial_baseline["dev"]
    cannot_tell = bool(quality) and not bench.tells_apart
    if not (_has_learnt(quality, bench) or cannot_tell) or not _has_own_head(request.teacher, request):
        raise JobError(
            "teacher_not_trained",
            f"The teacher's {bench.metric} on dev is {reached:.3f}; answering without looking "
            f"reaches {baseline:.3f}. Run fine_tuning on it first and use the model that comes of it.",
            metric=bench.metric,
            teacher=reached,
            trivial_baseline=baseline,
        )


def _has_learnt(quality: Mapping[str, float], bench: Evaluator) -> bool:
    """Where one label is nearly all of dev, a model may know a lot and still be no more accurate than it."""
    reached = quality.get(bench.metric, math.nan)
    return reached > bench.trivial_baseline["dev"] or quality.get("matthews", 0.0) > 0


def _warn_if_untrained(student: EvaluatedModel, bench: Evaluator, reporter: Reporter) -> None:
    quality = student.quality["dev"]
    if bench.tells_apart and not _has_learnt(quality, bench):
        reporter.message(
            f"The student's {bench.metric} on dev is {quality[bench.metric]:.3f}, which answering without "
            "looking reaches as well: it has learnt nothing. Give it more training.epochs or more data; one "
            "that starts from a teacher's weights needs less of both.",
            is_warning=True,
        )


def _is_compared(request: JobRequest) -> bool:
    """Whether there is a teacher to measure: before fine-tuning there is none, and scratch needs none."""
    method = request.spec.method
    if request.teacher is None or not method.is_compared:
        return False
    return method.card.needs_head or _has_own_head(request.teacher, request)


def _has_own_head(given: ModelRef | None, request: JobRequest) -> bool:
    """Whether a model came with a head for the data's labels, rather than got one drawn at random."""
    if given is None:
        return False
    model, data = given.manifest, request.dataset.manifest
    return model.task == data.task and (model.labels or []) == data.labels


def _load_input(
    role: str, request: JobRequest, workdir: Path, tokenizer: Tokenizer, scale: TargetScaler
) -> PreTrainedModel:
    """Raises ``JobError`` when its words are not the teacher's, row by row."""
    model = request.inputs[role]
    data, folder = request.dataset.manifest, input_folder(workdir, role)
    if load_tokenizer(folder / TOKENIZER).get_vocab() != tokenizer.get_vocab():
        raise JobError(
            "incompatible_small_model",
            "The small model's tokenizer has as many pieces as the teacher's, but other ones. A gate needs "
            "two models with the same tokenizer.",
        )
    network = load_network(folder, model.manifest, task=data.task, labels=data.labels)
    return scale.network(network) if _has_own_head(model, request) else network


def _check_exports(exports: Mapping[Precision, OnnxExport], request: JobRequest) -> None:
    check_exports(
        exports,
        onnx_tolerance=request.onnx_tolerance,
        int8_min_agreement=request.int8_min_agreement,
    )


def _export_teacher(
    candidate: EvaluatedModel,
    teacher: Teacher,
    request: JobRequest,
    bench: Evaluator,
    *,
    folder: Path,
    reporter: Reporter,
) -> None:
    """Measure the teacher's ONNX files for comparison; one that is not sound is left out and fails no job."""
    try:
        network = candidate.network.cpu()
        assert request.teacher is not None
        manifest = request.teacher.manifest
        candidate.paths = teacher_exports(network, manifest, request, folder, digest=teacher.digest)
    except JobError as error:
        reporter.message(f"The teacher is compared without ONNX files. {error.message}", is_warning=True)
    bench.compare_exports(candidate)
    for precision in list(candidate.paths):
        try:
            _check_exports({precision: candidate.exports[precision]}, request)
        except JobError as error:
            reporter.message(f"The teacher's {precision} file is left out. {error.message}", is_warning=True)
            del candidate.paths[precision], candidate.exports[precision]
    bench.measure_latency(candidate)


def _store_teacher_exports(
    candidate: EvaluatedModel | None, request: JobRequest, storage: Storage
) -> tuple[dict[str, OnnxExport], dict[str, FileEntry]]:
    """Keep the ONNX files that the teacher's row lacks, so that it can be served too."""
    exports: dict[str, OnnxExport] = {}
    files: dict[str, FileEntry] = {}
    if candidate is not None and request.teacher is not None:
        manifest = request.teacher.manifest
        for precision in candidate.exports.keys() - manifest.exports.keys():
            added = store_export(manifest.files, candidate.paths[precision], storage)
            names = dict(zip(("file", "decoder_file"), added, strict=False))
            exports[precision] = candidate.exports[precision].model_copy(update=names)
            files |= added
    return exports, files


def _failure(error: Exception) -> Failed:
    match error:
        case SqueezeError():
            return Failed(
                code=error.code, message=error.message, retryable=isinstance(error, RetryableJobError)
            )
        case StoreError():
            return Failed(
                code="storage_unavailable",
                message="The store of files did not answer as it should.",
                retryable=True,
            )
        case MemoryError() | torch.OutOfMemoryError():
            return Failed(code="out_of_memory", message=_MEMORY_ADVICE)
        case RuntimeError() if "can't allocate memory" in str(error):  # torch's, on the CPU
            return Failed(code="out_of_memory", message=_MEMORY_ADVICE)
        case _:
            return Failed(
                code="internal_error",
                message="The job met an error of this service; the worker's log says more.",
            )
