import numpy as np

from worker.contracts import FloatArray, TokenizedSplit
from worker.tasks.agreement import same_side_of_median
from worker.tasks.encoding import texts_with
from worker.tasks.implementation import TaskImplementation, Thresholds
from worker.tasks.losses import squared_difference, squared_error
from worker.tasks.metrics import nothing_right, pearson, spearman


def regression_metrics(
    split: TokenizedSplit, outputs: FloatArray, _labels: list[str], _thresholds: Thresholds, /
) -> dict[str, float]:
    """From outputs (N, 1)."""
    assert split.labels is not None
    scores, predictions = split.labels.astype(np.float32), outputs[:, 0]
    return {
        "spearman": spearman(scores, predictions),
        "pearson": pearson(scores, predictions),
        "mse": float(np.mean((scores.astype(np.float64) - predictions) ** 2)),
    }


IMPLEMENTATION = TaskImplementation(
    encode=texts_with("score", lambda values, _labels: np.asarray(values, np.float32)),
    answer_loss=lambda _smoothing: squared_error,
    soft_loss=squared_difference,
    metrics=regression_metrics,
    baseline=nothing_right,
    agreement=same_side_of_median,
)
