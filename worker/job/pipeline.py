"""One attempt at a job, in the process that ``worker.job.main`` is.

Reads the request in the work folder, reports on standard output, leaves an outcome beside the request.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers

from app.core.logging import configure_logging
from app.domain.documents.manifest import Files, ModelManifest
from app.domain.errors import JobCancelled
from worker.data.batches import watching_batches
from worker.job.card import write_card
from worker.job.context import Cancellation, StageTimer
from worker.job.failures import failure_of
from worker.job.stages import needed_stages
from worker.job.stages.scores import scores_report
from worker.job.state import JobState
from worker.job.supervisor_watch import SupervisorWatch
from worker.networks.pooled import pooling_of
from worker.runner.protocol import (
    Cancelled,
    EventPipe,
    Failed,
    JobRequest,
    Succeeded,
    read_request,
    write_outcome,
)
from worker.runner.reporter import Reporter

logger = logging.getLogger(__name__)


def main(watch: SupervisorWatch, workdir: Path) -> None:
    """The child's life, from the request to the outcome."""
    cancellation = Cancellation(check_lease=watch.check)
    cancellation.listen()
    reporter = Reporter(EventPipe().send)
    configure_logging("json", logging.WARNING)  # for its supervisor, which logs as it is told to
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    request = read_request(workdir)
    outcome = run(request, workdir, reporter=reporter, cancellation=cancellation)
    watch.check()
    write_outcome(workdir, request, outcome)


def run(
    request: JobRequest, workdir: Path, *, reporter: Reporter, cancellation: Cancellation
) -> Succeeded | Failed | Cancelled:
    """Do the job; whatever goes wrong becomes an outcome with a code and a sentence for the client."""
    timer = StageTimer(reporter, cancellation)

    def on_batch() -> None:
        reporter.alive()
        cancellation.check_within_step()

    try:
        state = JobState(
            request=request,
            workdir=workdir,
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            reporter=reporter,
            cancellation=cancellation,
        )
        with watching_batches(on_batch):
            return compress(state, timer)
    except JobCancelled:
        return Cancelled()
    except Exception as error:
        logger.exception(
            "job %s, attempt %d failed in the stage %r", request.job_id, request.attempt, timer.stage
        )
        return failure_of(error, stage=timer.stage)


def compress(state: JobState, timer: StageTimer) -> Succeeded:
    """A teacher and its data in; a measured and checked student out."""
    for stage in needed_stages(state):
        with timer(stage.name):
            stage.run(state)
    return _succeeded(state, timer.seconds)


def _succeeded(state: JobState, seconds: Mapping[str, float]) -> Succeeded:
    given, student = state.request.teacher, state.evaluated_student
    head = student.head
    report = state.teacher_evaluator.report(
        state.evaluated_teacher,
        student,
        method=state.student.metrics,
        seconds=seconds,
        teacher_scores=scores_report(state),
    )
    write_card(state, report)
    agreement = {"agreement_with_teacher": student.agreement} if student.agreement else {}
    return Succeeded(
        manifest=ModelManifest(
            files=Files.of(state.student_folder, prefix=state.request.output_prefix),
            architecture=student.architecture,
            task=state.dataset.task,
            labels=state.data.labels or None,
            activation=state.data.activation,
            thresholds=list(student.thresholds) or None,
            is_pair=state.dataset.is_pair and head.record.takes_pairs,
            pooling=pooling_of(student.network.config) if head.record.answers_in_vectors else None,
            parameters=student.architecture.count(head=head).total,
            lowercase=None if given is None else given.manifest.lowercase,
            max_length=state.max_length,  # what lies beyond was never trained
            exports=dict(student.exports),
            gate=state.gate,
        ),
        metrics={**student.quality, **agreement},
        report=report,
        comparison=state.comparison,
        teacher_exports=state.teacher_exports,
    )
