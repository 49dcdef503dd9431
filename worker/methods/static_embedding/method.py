"""The driver of static embeddings."""

from typing import Final

import torch

from app.domain.methods import DistillationTerms, StaticEmbeddingSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.methods.static_embedding.token_vectors import token_vectors, token_weights
from worker.networks.new_static import framing
from worker.networks.static import StaticEmbedding
from worker.training.student import dense_phase, train_student
from worker.transfer.initialisation import random_network

_LEARNING_RATE: Final = 3e-3


class StaticEmbeddings:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: StaticEmbeddingSpec, context: RunContext
    ) -> Student:
        network = random_network(teacher, data, context)
        assert isinstance(network, StaticEmbedding)
        network.config.framing_ids = sorted({id_ for ids in framing(teacher.tokenizer) for id_ in ids})
        if not teacher.has_new_head:
            fill(network, teacher, data, spec, context)
        objective = distillation_objective(DistillationTerms(logits_weight=1), teacher, data, context)
        phase = dense_phase(network, objective, context, default_rate=_LEARNING_RATE)
        return train_student(
            network,
            data,
            phases=[phase],
            training_objective=objective,
            context=context,
            default_rate=_LEARNING_RATE,
        )


@torch.no_grad()
def fill(
    network: StaticEmbedding,
    teacher: Teacher,
    data: TaskData,
    spec: StaticEmbeddingSpec,
    context: RunContext,
) -> None:
    """Set each row to the teacher's vector of its token alone, weighted by how rare that is."""
    vectors = torch.from_numpy(token_vectors(teacher, data, context))  # (V, D)
    weights = torch.from_numpy(token_weights(data, spec))  # (V,)
    network.embedding.weight.copy_(vectors * weights.unsqueeze(1))
