"""One line of the comparison before it is measured: what is made of what, and how."""

from dataclasses import dataclass, field
from typing import Any

from app.domain.architectures import AnyShape

KD: dict[str, Any] = {"temperature": 2.0, "logits_weight": 0.9}
PATIENT: dict[str, Any] = {**KD, "patient_weight": 100.0}
RELATIONS: dict[str, Any] = {**KD, "relation_weight": 1.0}


@dataclass(frozen=True)
class Entry:
    """A student to be trained: everything but the seed."""

    part: str
    """Which claim it belongs to."""
    set: str
    variant: str
    """What the table calls it."""
    method: dict[str, Any]
    """A method's spec."""
    target: dict[str, Any] | None
    """The student's size; None: the teacher's."""
    training: dict[str, Any] = field(default_factory=dict)
    """What differs from the defaults of the set."""
    size: str = ""
    """Names the target where a part has several."""
    from_small: bool = False
    """Whether its teacher is the small pretrained encoder, with a head of its own to learn."""


SMALL_MODEL = "mdl_" + "0" * 26
"""The small pretrained encoder, as a gate names it."""


def shape_target(shape: AnyShape, **more: Any) -> dict[str, Any]:
    return {"shape": shape.model_dump(exclude_none=True), **more}


TEACHER_TRAINING: dict[str, dict[str, Any]] = {
    "sst2": {"epochs": 3, "batch_size": 32, "evaluations": 20, "learning_rate": 6e-5},
    "sst2_500": {"epochs": 12, "batch_size": 32, "evaluations": 12, "learning_rate": 6e-5},
    "cola": {"epochs": 8, "batch_size": 32, "evaluations": 16, "learning_rate": 6e-5},
    "rte": {"epochs": 8, "batch_size": 32, "evaluations": 16, "learning_rate": 6e-5},
    "clinc150": {"epochs": 5, "batch_size": 32, "evaluations": 10, "learning_rate": 1e-4},
    "stsb": {"epochs": 6, "batch_size": 32, "evaluations": 12, "learning_rate": 6e-5},
    "stsb_pairs": {"epochs": 5, "batch_size": 32, "evaluations": 10, "learning_rate": 6e-5},
    "goemotions": {"epochs": 2, "batch_size": 32, "evaluations": 6, "learning_rate": 2e-4},
    "ner4": {"epochs": 3, "batch_size": 32, "evaluations": 12, "learning_rate": 1e-4},
    "subjqa": {"epochs": 3, "batch_size": 32, "evaluations": 9, "learning_rate": 1e-4},
    "subjqa_short": {"epochs": 3, "batch_size": 16, "evaluations": 6, "learning_rate": 1e-4},
    "sentences": {},  # as it comes
    "movie_words": {"epochs": 1, "batch_size": 128, "evaluations": 4, "learning_rate": 1e-3},
    "multi30k": {
        "epochs": 20,
        "batch_size": 64,
        "evaluations": 20,
        "learning_rate": 2e-3,
        "warmup_ratio": 0.1,
        "dropout": 0.2,
    },
}
"""Of MiniLM-L6, all at one rate, the head as well; of a translation model from scratch."""

STUDENT_TRAINING: dict[str, dict[str, Any]] = {
    "sst2": {"epochs": 1, "batch_size": 64},
    "sst2_500": {"epochs": 3, "batch_size": 128, "evaluations": 40},
    "cola": {"epochs": 8, "batch_size": 64},
    "rte": {"epochs": 8, "batch_size": 32},
    "clinc150": {"epochs": 8, "batch_size": 64},
    "stsb": {"epochs": 8, "batch_size": 64},
    "stsb_pairs": {"epochs": 3, "batch_size": 64},
    "goemotions": {"epochs": 3, "batch_size": 64},
    "sentences": {"epochs": 1.5, "batch_size": 32, "evaluations": 2},
    "ner4": {"epochs": 15, "batch_size": 64, "evaluations": 30},
    "subjqa": {"epochs": 3, "batch_size": 32, "evaluations": 9},
    "subjqa_short": {"epochs": 3, "batch_size": 16, "evaluations": 6},
    # With the teacher's translations as many steps, and the same rate and warm-up, as the teacher had.
    "multi30k": {"epochs": 10, "batch_size": 64, "learning_rate": 2e-3, "warmup_ratio": 0.1},
}
"""Of every student on a set, whatever the method."""

TRANSFER_ROWS = {"sst2_500": 300_000}
"""Unlabelled sentences beside a set."""
