"""The order in which a training meets the rows of its split, whoever of several replicas asks."""

import math
from collections.abc import Iterator

from app.domain.documents import TrainingSpec
from worker.contracts import IntArray, Replica, TokenizedSplit
from worker.data.batches import batch_rows


def row_stream(
    split: TokenizedSplit,
    training: TrainingSpec,
    *,
    first_step: int,
    last_step: int,
    replica: Replica,
) -> Iterator[IntArray]:
    """A replica's rows of each step in [first_step, last_step), epoch after epoch.

    The steps are the same for every number of replicas: ``batch_size`` is that of a whole step. Its rows are
    dealt out in turn, so that each replica gets nearly as many, and as long ones; one gets none where a step
    has fewer rows than there are replicas.
    """
    per_epoch = math.ceil(len(split) / training.batch_size)
    step = first_step
    while step < last_step:
        epoch, begin = divmod(step, per_epoch)
        batches = batch_rows(split.sizes, batch_size=training.batch_size, seed=training.seed, epoch=epoch)
        for rows in batches[begin : begin + last_step - step]:
            yield rows[replica.rank :: replica.world_size]
            step += 1
