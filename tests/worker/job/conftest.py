"""Jobs in the tests' own process measure latencies from few runs, for what they find does not matter here.

Neither does what else the machine does: tests run beside one another.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from worker.evaluation import calm
from worker.evaluation.latency import measure_latency
from worker.job import evaluator


@pytest.fixture(scope="package", autouse=True)
def _short_measurements() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "measure_latency", partial(measure_latency, seconds=0.02))
        patch.setattr(calm, "time_hashes", lambda _threads: [1.0])
        yield
