"""How many optimiser steps a job takes."""

import math

from app.domain.documents import TrainingSpec
from app.domain.planning.epochs import most_epochs, planned_epochs


def step_count(*, rows: int, training: TrainingSpec) -> int:
    """Optimiser steps of a job: a last, smaller batch of an epoch counts as one."""
    return _steps(planned_epochs(training), rows=rows, training=training)


def most_steps(*, rows: int, training: TrainingSpec) -> int:
    """Likewise, of a job whose quality on dev rises to the end."""
    return _steps(most_epochs(training), rows=rows, training=training)


def _steps(epochs: float, *, rows: int, training: TrainingSpec) -> int:
    return max(1, round(epochs * math.ceil(rows / training.batch_size)))
