"""One order of rows for any number of replicas."""

import numpy as np
import pytest

from app.domain.documents import TrainingSpec
from tests.worker.compression import make_data
from worker.contracts import Replica
from worker.training.row_stream import row_stream

TRAINING = TrainingSpec(batch_size=12)
STEPS = 9
"""Of 40 rows: two epochs of four steps, and one."""


def rows_of(replica: Replica, *, first_step: int = 0) -> list[np.ndarray]:
    split = make_data(train=40, dev=4).train
    return list(row_stream(split, TRAINING, first_step=first_step, last_step=STEPS, replica=replica))


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_replicas_share_out_the_rows_of_each_step(world_size: int) -> None:
    single = rows_of(Replica())
    shared = [rows_of(Replica(rank, world_size)) for rank in range(world_size)]
    assert len(single) == STEPS
    for step, parts in zip(single, zip(*shared, strict=True), strict=True):
        assert sorted(np.concatenate(parts)) == sorted(step)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_each_epoch_meets_every_row_once() -> None:
    assert sorted(np.concatenate(rows_of(Replica())[:4])) == list(range(40))


@pytest.mark.parametrize("replica", [Replica(), Replica(1, 2)])
def test_a_stream_goes_on_where_another_stopped(replica: Replica) -> None:
    whole, rest = rows_of(replica), rows_of(replica, first_step=5)
    assert all(np.array_equal(one, other) for one, other in zip(whole[5:], rest, strict=True))
