import numpy as np

from worker.contracts import FloatArray, TokenizedSplit
from worker.tasks.agreement import same_choice
from worker.tasks.encoding import texts_with
from worker.tasks.implementation import TaskImplementation, Thresholds
from worker.tasks.losses import smoothed_cross_entropy, soft_label_loss
from worker.tasks.metrics import accuracy, f1, label_indices, macro_f1, matthews, most_frequent_share


def classification_metrics(
    split: TokenizedSplit, logits: FloatArray, _labels: list[str], _thresholds: Thresholds, /
) -> dict[str, float]:
    """From logits (N, C)."""
    truth, predictions, classes = label_indices(split), logits.argmax(axis=1), logits.shape[1]
    return {
        "accuracy": accuracy(truth, predictions),
        "macro_f1": macro_f1(truth, predictions, classes),
        "matthews": matthews(truth, predictions, classes),
        **({"f1": f1(truth, predictions)} if classes == 2 else {}),
    }


IMPLEMENTATION = TaskImplementation(
    encode=texts_with("label", lambda values, _labels: np.asarray(values, np.int64)),
    answer_loss=smoothed_cross_entropy,
    soft_loss=soft_label_loss,
    metrics=classification_metrics,
    baseline=most_frequent_share,
    agreement=same_choice,
)
