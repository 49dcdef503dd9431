"""The driver of low-rank factorisation."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from app.domain.architectures import Architecture
from app.domain.methods import LowRankSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.data.batches import collate
from worker.distillation.training_objective import label_objective
from worker.methods.low_rank.factorisation import factorise, row_fisher
from worker.networks.parts import Matrix
from worker.networks.views import encoder_view
from worker.training.student import distilled_student
from worker.transfer.initialisation import InitialStudent, calibration_rows, first_layers_network

_LEARNING_RATE = 1e-4
_FISHER_BATCH = 8


class LowRank:
    def compress(self, teacher: Teacher, data: TaskData, spec: LowRankSpec, context: RunContext) -> Student:
        network = first_layers_network(teacher, data, context)
        whole = _matrices(teacher.network, teacher.architecture)
        importance = _importance(teacher, whole, data, context) if spec.factorisation == "fisher" else {}
        _fill(_matrices(network, context.architecture), whole, importance, context)
        initial = InitialStudent(network, projection=None)  # as wide as its teacher
        return distilled_student(
            initial, teacher, data, spec.distillation, context, default_rate=_LEARNING_RATE
        )


def _matrices(network: PreTrainedModel, architecture: Architecture) -> list[Matrix]:
    """Every matrix that is factorised, whole or not."""
    return [matrix for layer in encoder_view(network, architecture).layers for matrix in layer.matrices]


def _importance(
    teacher: Teacher, matrices: Sequence[Matrix], data: TaskData, context: RunContext
) -> dict[str, Tensor]:
    """Fisher information of the labels' loss on a calibration sample."""
    rows = calibration_rows(data)
    batches = (
        collate(data.train, rows[i : i + _FISHER_BATCH], pad_id=data.pad_id, device=context.device)
        for i in range(0, len(rows), _FISHER_BATCH)
    )
    network = teacher.network.to(context.device).eval()
    linears = {matrix.name: matrix.linear for matrix in matrices}
    return row_fisher(network, linears, label_objective(data, context).objective, batches)


@torch.no_grad()
def _fill(
    factorised: Sequence[Matrix],
    whole: Sequence[Matrix],
    importance: dict[str, Tensor],
    context: RunContext,
) -> None:
    """Write each whole matrix into the factors in its place."""
    for done, (source, target) in enumerate(zip(whole, factorised, strict=True)):
        context.check_cancelled()
        context.report("preparing", done + 1, len(whole))
        inner, outer = target.factors
        a, b = factorise(source.weight, inner.out_features, importance=importance.get(source.name))
        inner.weight.copy_(b)
        outer.weight.copy_(a)
        if source.bias is not None:
            outer.bias.copy_(source.bias)
