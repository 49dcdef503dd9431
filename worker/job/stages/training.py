"""The method's own stage: from a teacher and its data to a trained student."""

from transformers import PreTrainedModel

from app.domain.errors import JobError
from app.engine.tokenizer_config import TOKENIZER
from worker import methods
from worker.job.stages.method_context import method_context
from worker.job.state import JobState
from worker.networks.loading import load_network, load_tokenizer
from worker.networks.target_scaling import TargetScaler
from worker.numerics.determinism import make_deterministic
from worker.runner.protocol import input_folder


def train(state: JobState) -> None:
    """Run the method.

    Scores that lie far from one are learnt on a scale of their own, from which the student is put back.
    """
    spec, teacher = state.spec, state.teacher
    make_deterministic(spec.training.seed, state.device)
    scale = TargetScaler.of(state.data)
    context = method_context(state, lambda role: load_input(role, state, scale))
    state.student = methods.load(spec.method).compress(
        # A head that was drawn anew is on no scale yet.
        teacher if teacher.has_new_head else scale.teacher(teacher),
        scale.data(state.data),
        spec.method,
        context,
    )
    scale.restore(state.student.network)


def load_input(role: str, state: JobState, scale: TargetScaler) -> PreTrainedModel:
    """Raises ``JobError`` when its words are not the teacher's, row by row."""
    model, folder = state.request.inputs[role], input_folder(state.workdir, role)
    task, labels = state.data.task, state.data.labels
    if load_tokenizer(folder / TOKENIZER).get_vocab() != state.teacher.tokenizer.get_vocab():
        raise JobError(
            "incompatible_small_model",
            "The small model's vocabulary has the same size as the teacher's, but different tokens. Gating "
            "needs two models with the same tokenizer.",
        )
    network = load_network(folder, model.manifest, task=task, labels=labels)
    return scale.network(network) if model.manifest.has_head_for(task, labels) else network
