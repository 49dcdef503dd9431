"""States of searches, without any training."""

from typing import Any

from app.domain.documents.auto import Goals, SearchBudget
from app.domain.documents.search import Candidate, Measurement, SearchState, Trial
from app.domain.documents.target import Target
from app.domain.documents.training import TrainingSpec
from app.domain.methods import DistillationSpec, LowRankSpec, TfidfSpec

METHODS = {
    "distillation": DistillationSpec(name="distillation"),
    "low_rank": LowRankSpec(name="low_rank"),
    "tfidf": TfidfSpec(name="tfidf"),
}


def candidate(parameters: int, method: str = "distillation") -> Candidate:
    return Candidate(
        method=METHODS[method],
        target=Target(max_parameters=parameters),
        training=TrainingSpec(epochs=8.0, max_epochs=16.0),
        parameters=parameters,
        size_mb={"fp32": 4 * parameters / 1e6, "int8": parameters / 1e6},
        seconds=100,
        training_seconds=80,
    )


def measured(
    retained: float, parameters: int = 1000, *, width: float = 0.01, latency_ms: float | None = None
) -> Measurement:
    return Measurement(
        precision="fp32",
        parameters=parameters,
        size_mb=parameters / 1e6,
        latency_ms=latency_ms,
        quality=0.9 * retained,
        retained=retained,
        retained_low=retained - width,
        retained_high=retained + width,
    )


def trial(number: int, retained: float, parameters: int = 1000, **changes: Any) -> Trial:
    said = {"candidate": number - 1, "rung": 0, "share": 0.25, "job": f"job_{number}", "status": "finished"}
    return Trial(number=number, measurements=[measured(retained, parameters)], **(said | changes))


def state(parameters: list[int], **changes: Any) -> SearchState:
    said: dict[str, Any] = {
        "goals": Goals(retain=0.97, minimize="parameters"),
        "budget": SearchBudget(trials=8),
        "candidates": [candidate(count) for count in parameters],
    }
    return SearchState(**(said | changes))
