"""Networks that narrow, and the paper's own ones to hold them against."""

import copy
from itertools import count, islice

import pytest
import torch
from torch import nn

from app.domain.architectures import EncoderShape
from tests.worker.compression import MemoryContext
from worker.data.batches import collate
from worker.distillation.objectives import LabelLoss, Masking
from worker.methods.weight_inherited.indices import Schedule
from worker.methods.weight_inherited.inheriting import CompactionRates, InheritedWeights
from worker.methods.weight_inherited.wiring import RESIDUAL
from worker.networks.views import encoder_view
from worker.transfer.initialisation import calibration_batches, random_network

CPU = torch.device("cpu")
NARROW = EncoderShape(layers=4, hidden=20, heads=4, ffn=24)
FEW_HEADS = EncoderShape(layers=4, hidden=16, heads=2, ffn=24)
TASKS = ["text_classification", "text_regression", "token_classification", "masked_language_modeling"]
TARGETS = [NARROW, FEW_HEADS]
SHAPES = [pytest.param(NARROW, id="dim"), pytest.param(FEW_HEADS, id="head")]
STEPS, SELECTIONS = 20, 4


def make_weights(teacher, data, tmp_path, *, target=NARROW, selections=SELECTIONS, matrices=1e-3, **given):
    context = MemoryContext(tmp_path, architecture=teacher.architecture.at(target))
    network = random_network(teacher, data, context)
    weights = InheritedWeights(
        network,
        teacher.network,
        teacher.architecture,
        data.head,
        target=target,
        whole_heads=target == FEW_HEADS,
        schedule=Schedule(STEPS, selections),
        rates=CompactionRates(compactors=0.02, matrices=matrices, vectors=1e-3),
        batches=reconstruction_batches(data),
        **given,
    )
    return network, weights


def reconstruction_batches(data):
    return calibration_batches(data, device=CPU, tokens=500)


def objective_of(data):
    loss = LabelLoss(data.task)
    if data.task != "masked_language_modeling":
        return loss
    return Masking(loss, mask_id=data.mask_id, vocabulary=data.vocabulary)


def train(network, weights, data, *, steps):
    """Some steps of the method, with rates that move every compactor visibly."""
    for _ in islice(training(network, weights, data), steps):
        pass


def training(network, weights, data):
    """The same, step by step; what looks at the network in between folds the weights."""
    torch.manual_seed(0)
    objective = objective_of(data)
    optimizer = torch.optim.AdamW(weights.groups(), fused=True)
    for step in count():
        network.train()
        rows = torch.arange(step * 8, step * 8 + 8).numpy() % len(data.train)
        batch = collate(data.train, rows, pad_id=0, device=CPU)
        weights.materialise([batch])
        objective(network, batch).backward()
        weights.pull_back()
        optimizer.step()
        optimizer.zero_grad()
        yield


def compactors(layer):
    """L and R as the paper has them, of what is trained: how far they are from the identity."""
    right = torch.eye(len(layer.columns)) + layer.columns.T
    return right, None if layer.rows is None else torch.eye(len(layer.rows)) + layer.rows


class CompactedInGraph(nn.Module):
    """R (W (L x) + c) with masks on R's rows and L's columns: the paper's layer, of the teacher's size."""

    def __init__(self, layer, rows, columns):
        super().__init__()
        self.layer, self.rows, self.columns = layer, rows, columns

    def forward(self, values):
        right, left = compactors(self.layer)
        values = (values * self.columns) @ right.T @ self.layer.weight.T
        values = values if self.layer.bias is None else values + self.layer.bias
        return values if self.rows is None else (values @ left.T) * self.rows


class CompactedTable(nn.Module):
    def __init__(self, table, compactor, columns):
        super().__init__()
        self.table, self.compactor, self.columns = table, compactor, columns

    def forward(self, ids):
        return (self.table[ids] @ self.compactor) * self.columns


class MaskedNorm(nn.Module):
    def __init__(self, weight, bias, mask, eps):
        super().__init__()
        self.weight, self.bias, self.mask, self.eps = weight, bias, mask, eps

    def forward(self, values):
        mean = (values * self.mask).sum(-1, keepdim=True) / self.mask.sum()
        spread = ((values - mean) ** 2 * self.mask).sum(-1, keepdim=True) / self.mask.sum()
        normed = (values - mean) / (spread + self.eps) ** 0.5
        normed = normed * self.weight
        return (normed if self.bias is None else normed + self.bias) * self.mask


def teacher_sized(teacher, weights):
    """The network that the paper trains: every layer in the teacher's size, with masks."""
    masks = {name: group.kept.float() for name, group in weights.index_groups.items()}
    network = copy.deepcopy(teacher.network).eval()
    view = encoder_view(network, teacher.architecture)
    distances = [] if view.distances is None else [view.distances.table]
    for table in (*view.embeddings, *distances):
        table.weight.data.copy_((table.weight.data @ weights.words) * masks[RESIDUAL])
    for matrix, ends in weights.wiring.matrices.items():
        rows = None if ends.rows is None else masks[ends.rows]
        layer = CompactedInGraph(weights.linears[matrix.name], rows, masks[ends.columns])
        network.set_submodule(matrix.name, layer)
    groups = {norm.name: group for norm, group in weights.wiring.norm_groups.items()}
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.LayerNorm):
            gain, shift = (weights.vectors.get(f"{name}.{kind}") for kind in ("weight", "bias"))
            network.set_submodule(name, MaskedNorm(gain, shift, masks[groups[name]], module.eps))
    if weights.wiring.is_tied:
        name = weights.wiring.view.head.output.bias_name
        network.get_parameter(name).data.copy_(weights.vectors[name])
    return network


def dev_batch(data):
    return collate(data.dev, data.dev.lengths.argsort()[:16], pad_id=0, device=CPU)
