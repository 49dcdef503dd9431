"""What a job will roughly cost."""

from collections.abc import Sequence

from app.domain.architectures import BYTES_PER_PARAMETER, EncoderArchitecture
from app.domain.documents.plan import Estimate
from app.domain.planning.measured import MeasuredJob, with_measured
from app.domain.planning.stages import CPU, Figures, stage_estimates
from app.domain.planning.workload import Workload


def estimate(job: Workload, *, figures: Figures = CPU, measured: Sequence[MeasuredJob] = ()) -> Estimate:
    """A rough price of all stages: six operations for each product of a row's forward pass in training.

    Memory is four fp32 copies of what trains, one of the teacher and the activations of one batch.

    Args:
        job: what is to be done.
        figures: of the device, where nothing was measured on it.
        measured: jobs that have run on it, whose times go before the figures.
    """
    stages, measured_jobs = with_measured(stage_estimates(job, figures), job, measured)
    batch = job.training.micro_batch_size or job.training.batch_size
    return Estimate(
        steps=job.steps,
        max_steps=job.most_steps,
        seconds=sum(stage.seconds for stage in stages),
        peak_memory_mb=(_kept_weights(job) + batch * job.activations(job.trained))
        * BYTES_PER_PARAMETER["fp32"]
        / 1e6,
        assumed_gflops=figures.training_gflops,
        stages=stages,
        step_products=job.step_products,
        measured_jobs=measured_jobs,
    )


def _kept_weights(job: Workload) -> int:
    """Numbers kept of networks: values, gradients and the optimiser's two means of what trains."""
    teacher = job.teacher
    beside = job.method.extra_parameters(teacher.shape) if isinstance(teacher, EncoderArchitecture) else 0
    return 4 * (job.count(job.trained).total + beside) + (0 if teacher is None else job.count(teacher).total)
