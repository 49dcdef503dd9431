"""How long a job trains where its client does not say."""

import math
from typing import Final

from app.domain.documents import TrainingSpec

_STEPS: Final = 300
_STEPS_PER_LABEL: Final = 4
"""Many labels take longer to learn: with 77 of them and 6,000 rows a teacher was at 80 % after 282 steps, at
90 % after 564."""
_FEWEST: Final = 3
_MOST: Final = 20
_EXTENSION: Final = 2
"""How many times as long a training may become while quality on dev rises."""


def with_epochs(training: TrainingSpec, *, rows: int, labels: int) -> TrainingSpec:
    """The same with ``epochs`` and ``max_epochs`` filled in.

    Args:
        training: as the client gave it.
        rows: of an epoch.
        labels: that are told apart; 0 where the task has none.
    """
    if training.epochs is not None:
        most = training.epochs if training.max_epochs is None else training.max_epochs
        return training.model_copy(update={"max_epochs": most})
    steps = _STEPS + _STEPS_PER_LABEL * labels
    chosen = min(_MOST, max(_FEWEST, math.ceil(steps * training.batch_size / rows)))
    most = _EXTENSION * chosen if training.max_epochs is None else training.max_epochs
    return training.model_copy(update={"epochs": min(chosen, most), "max_epochs": most})


def planned_epochs(training: TrainingSpec) -> float:
    """Those of a training in which they were filled in."""
    assert training.epochs is not None
    return training.epochs


def most_epochs(training: TrainingSpec) -> float:
    """Those that it may take while quality on dev rises."""
    return training.max_epochs or planned_epochs(training)
