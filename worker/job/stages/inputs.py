"""A job's inputs: from the store to the work folder, from there to a teacher."""

from app.domain.architectures import Architecture
from app.domain.planning import plan_student
from app.domain.tasks import Head
from worker.job.artifacts import fetch_checkpoint, fetch_inputs
from worker.job.state import JobState
from worker.networks.loading import load_teacher
from worker.networks.new_translator import untrained_translator
from worker.numerics.determinism import make_deterministic


def fetch(state: JobState) -> None:
    """Bring the teacher, the data, what else the method reads and the work so far into the work folder."""
    fetch_inputs(state.request, state.workdir, state.storage, with_exports=is_compared(state))
    fetch_checkpoint(state.request.checkpoints, state.checkpoints, state.storage)


def load(state: JobState) -> None:
    """Load the teacher; where scratch is to make the first model, an untrained one takes its place."""
    make_deterministic(state.spec.training.seed, state.device)
    given, dataset = state.request.teacher, state.dataset
    if given is None:
        architecture = state.request.planned_student or _planned_without_teacher(state)
        teacher = untrained_translator(state.dataset_folder, architecture)
        most_tokens = teacher.architecture.positions
    else:
        manifest = given.manifest
        teacher = load_teacher(state.teacher_folder, manifest, task=dataset.task, labels=dataset.labels)
        most_tokens = manifest.max_length
    state.uploaded_teacher = state.teacher = teacher
    state.teacher_max_length = most_tokens
    state.max_length = min(state.spec.training.max_length, most_tokens)


def is_compared(state: JobState) -> bool:
    """Whether there is a teacher to measure: before fine-tuning there is none, and scratch needs none."""
    given, method, dataset = state.request.teacher, state.spec.method, state.dataset
    if given is None or not method.is_compared:
        return False
    return method.card.needs_head or given.manifest.has_head_for(dataset.task, dataset.labels)


def _planned_without_teacher(state: JobState) -> Architecture:
    # The vocabulary is made of the data; the plan says how large it may be.
    head = Head.of(state.dataset.task, labels=len(state.dataset.labels), vocabulary=1)
    return plan_student(None, state.spec.method, state.spec.target, head=head).architecture
