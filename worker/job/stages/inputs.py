"""A job's inputs: from the work folder to a teacher."""

from app.domain.architectures import Architecture
from app.domain.planning import plan_student
from app.domain.tasks import Head
from worker.job.state import JobState
from worker.networks.loading import load_teacher
from worker.networks.untrained import untrained_model
from worker.numerics.determinism import make_deterministic


def load(state: JobState) -> None:
    """Load the teacher; where there is none, an untrained model takes its place."""
    state.checkpoints.remove_damaged()
    state.checkpoints.restore_note()
    make_deterministic(state.spec.training.seed, state.device)
    given, dataset = state.request.teacher, state.dataset
    if given is None:
        architecture = state.request.planned_student or _planned_without_teacher(state)
        teacher = untrained_model(state.dataset_folder, dataset, architecture)
        most_tokens = teacher.architecture.positions
    else:
        manifest = given.manifest
        teacher = load_teacher(
            state.teacher_folder,
            manifest,
            task=dataset.task,
            labels=state.request.labels,
            dimensions=state.request.dimensions if state.request.learns_vectors else None,
        )
        most_tokens = manifest.max_length
    state.uploaded_teacher = state.teacher = teacher
    state.teacher_max_length = most_tokens
    state.max_length = min(state.spec.training.max_length, most_tokens)


def _planned_without_teacher(state: JobState) -> Architecture:
    # The vocabulary is made of the data; the plan says how large it may be.
    head = Head.of(state.dataset.task, labels=len(state.request.labels), vocabulary=1)
    return plan_student(None, state.spec.method, state.spec.target, head=head).architecture
