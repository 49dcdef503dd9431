"""The driver of logistic regression on TF-IDF."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from sklearn.preprocessing import normalize

from app.domain.methods import TfidfSpec
from worker.contracts import FloatArray, IntArray, RunContext, Student, TaskData, Teacher
from worker.evaluation.quality import dev_score
from worker.methods.tfidf.regression import fit
from worker.methods.tfidf.terms import counted_terms, frequent_terms, inverse_frequencies
from worker.networks.tfidf import TfidfForSequenceClassification
from worker.transfer.initialisation import random_network

_TRIED: Final = (1.0, 4.0, 16.0)


class TfidfRegression:
    """Solves for its student at once, so that it neither keeps checkpoints nor depends on a seed."""

    def compress(self, teacher: Teacher, data: TaskData, spec: TfidfSpec, context: RunContext) -> Student:
        network = random_network(teacher, data, context)
        assert isinstance(network, TfidfForSequenceClassification)
        assert data.train.labels is not None
        began = time.perf_counter()
        terms, counts = counted_terms(data.train, network.config.vocab_size)
        kept = frequent_terms(counts, network.config.terms)
        terms, counts = terms[kept], counts[:, kept]
        idf = inverse_frequencies(counts)
        features = normalize(counts.multiply(idf).tocsr())
        set_terms(network, terms, idf)
        tried: Sequence[float] = (
            _TRIED if spec.inverse_regularisation is None else [spec.inverse_regularisation]
        )
        best, best_quality = tried[0], -np.inf
        best_weights: tuple[FloatArray, FloatArray] | None = None
        for step, inverse_regularisation in enumerate(tried, 1):
            context.check_cancelled()
            weights = fit(
                features,
                data.train.labels,
                outputs=data.head.outputs,
                inverse_regularisation=inverse_regularisation,
            )
            set_weights(network, *weights)
            quality = dev_score(network, data, device=context.device, metric=context.training.metric)
            context.report("training", step, len(tried), dev_quality=quality)
            if quality > best_quality:
                best, best_quality, best_weights = inverse_regularisation, quality, weights
        assert best_weights is not None
        set_weights(network, *best_weights)
        return Student(
            network=network.eval(),
            metrics={
                "planned_steps": 1,
                "steps": 1,
                "best_step": 1,
                "seconds_per_step": time.perf_counter() - began,
                "terms": len(terms),
                "inverse_regularisation": best,
            },
        )


@torch.no_grad()
def set_terms(network: TfidfForSequenceClassification, terms: IntArray, idf: FloatArray) -> None:
    """Weigh just these terms, ascending, which may be fewer than the network has room for."""
    network.terms[: len(terms)] = torch.from_numpy(terms).to(network.device)
    network.idf[: len(idf)] = torch.from_numpy(idf).to(network.device)


@torch.no_grad()
def set_weights(network: TfidfForSequenceClassification, weights: FloatArray, biases: FloatArray) -> None:
    """Weights (C, terms) and biases (C,) of the terms that are weighed."""
    network.classifier.weight[:, : weights.shape[1]] = torch.from_numpy(weights).to(network.device)
    network.classifier.bias.copy_(torch.from_numpy(biases))
