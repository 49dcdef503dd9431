"""The driver of low-rank factorisation."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.domain.architectures import EncoderArchitecture
from app.domain.methods import LowRankSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.data.batches import collate
from worker.distillation.training_objective import distillation_objective, label_objective
from worker.methods.low_rank.factorisation import factorise, row_fisher
from worker.networks.anatomy import ANATOMIES, linear
from worker.networks.structure import MATRICES
from worker.training.student import dense_phase, train_student
from worker.transfer.initialisation import calibration_rows, first_layers_network

_LEARNING_RATE = 1e-4
_FISHER_BATCH = 8


class LowRank:
    def compress(self, teacher: Teacher, data: TaskData, spec: LowRankSpec, context: RunContext) -> Student:
        network = first_layers_network(teacher, data, context)
        matrices = _matrices(teacher)
        importance = _importance(teacher, matrices, data, context) if spec.factorisation == "fisher" else {}
        _fill(network, matrices, importance, context)
        training_objective = distillation_objective(spec.distillation, teacher, data, context)
        return train_student(
            network,
            data,
            phases=[dense_phase(network, training_objective, context, default_rate=_LEARNING_RATE)],
            training_objective=training_objective,
            context=context,
        )


def _matrices(teacher: Teacher) -> dict[str, nn.Linear]:
    """Every matrix that is factorised, by the name that it has in the student too."""
    assert isinstance(teacher.architecture, EncoderArchitecture)
    anatomy = ANATOMIES[teacher.architecture.family]
    names = [
        anatomy.part_name(layer, role)
        for layer in range(teacher.architecture.shape.layers)
        for role in MATRICES
    ]
    return {name: linear(teacher.network, name) for name in names}


def _importance(
    teacher: Teacher, matrices: dict[str, nn.Linear], data: TaskData, context: RunContext
) -> dict[str, Tensor]:
    """Fisher information of the labels' loss on a calibration sample."""
    rows = calibration_rows(data)
    batches = (
        collate(data.train, rows[i : i + _FISHER_BATCH], pad_id=data.pad_id, device=context.device)
        for i in range(0, len(rows), _FISHER_BATCH)
    )
    network = teacher.network.to(context.device).eval()
    return row_fisher(network, matrices, label_objective(data, context).objective, batches)


@torch.no_grad()
def _fill(
    network: PreTrainedModel,
    matrices: dict[str, nn.Linear],
    importance: dict[str, Tensor],
    context: RunContext,
) -> None:
    for done, (name, whole) in enumerate(matrices.items()):
        context.check_cancelled()
        context.report("factorisation", done + 1, len(matrices))
        inner, outer = linear(network, f"{name}.0"), linear(network, f"{name}.1")
        a, b = factorise(whole.weight, inner.out_features, importance=importance.get(name))
        inner.weight.copy_(b)
        outer.weight.copy_(a)
        outer.bias.copy_(whole.bias)
