"""How long one ONNX prediction takes on this machine, in the session that would serve it."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from worker.contracts import IntArray, TokenizedSplit
from worker.evaluation.exported import ExportedModel

BATCH_SIZES = (1, 32)
_MOST_RUNS = 100
_MOST_TEXTS = 1_000
"""Of the runs of one batch size: lengths even out in large batches, which need fewer runs."""
_WARM_UP_RUNS = 3


def measure_latency(
    network: ExportedModel,
    split: TokenizedSplit,
    *,
    pad_id: int,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    seconds: float = 1.0,
    on_runs: Callable[[int, Sequence[float]], None] = lambda *_: None,
) -> dict[str, float]:
    """Median milliseconds of a run on texts of the split, by batch size; tokenising is not counted.

    Texts come in a fixed random order, so that a batch has the mix of lengths that requests have.

    Args:
        network: what runs.
        split: where the texts come from; a small one is gone through again and again.
        pad_id: fills up batches.
        batch_sizes: texts of one run.
        seconds: what one batch size may take, if two runs fit into it.
        on_runs: is told of each batch size the milliseconds of its runs, those of the warm-up left out.
    """
    order = np.random.default_rng(0).permutation(len(split))
    medians = {}
    for size in batch_sizes:
        runs = min(_MOST_RUNS, max(_MOST_TEXTS // size, 2))
        batches = np.resize(order, (runs, size))
        runs_ms = _time_runs(network, split, batches, pad_id=pad_id, seconds=seconds)
        on_runs(size, runs_ms)
        medians[str(size)] = float(np.median(runs_ms))
    return medians


def _time_runs(
    network: ExportedModel, split: TokenizedSplit, batches: IntArray, *, pad_id: int, seconds: float
) -> list[float]:
    deadline = time.perf_counter() + seconds
    durations_ms: list[float] = []
    for rows in batches:
        feed = network.feed(split, rows, pad_id=pad_id)
        started = time.perf_counter()
        if started > deadline and len(durations_ms) > 1:
            break
        network.run(feed)
        durations_ms.append((time.perf_counter() - started) * 1e3)
    # A slow network may not have come further than its warm-up.
    warm = min(_WARM_UP_RUNS, len(durations_ms) - 1)
    return durations_ms[warm:]
