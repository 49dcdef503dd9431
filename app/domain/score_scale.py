"""The scale of scores where a teacher's one output goes through a sigmoid: from 0 to 1, as its answers."""

from typing import NamedTuple

from app.domain.documents.manifest import DatasetManifest, ModelManifest
from app.domain.tasks.record import Activation


class ScoreScale(NamedTuple):
    """What scores of a data set are from and to, which become 0 and 1."""

    least: float
    greatest: float

    @property
    def told(self) -> str:
        """In a sentence for the client."""
        return (
            "The teacher answers from 0 to 1, through a sigmoid, and the scores of train are from "
            f"{self.least:g} to {self.greatest:g}: these become 0 and 1, so the student answers from 0 to 1. "
            "Upload scores from 0 to 1 to decide this yourself."
        )


def job_activation(
    model: ModelManifest | None, data: DatasetManifest, *, needs_head: bool
) -> Activation | None:
    """What the student's one output goes through: what its teacher's does, where that head is kept.

    Where the head is not needed and the scores are on another scale, its output becomes the answer itself.
    """
    if model is None or model.task != data.task or not model.has_head_for(data.task, data.labels):
        return None
    return model.activation if needs_head or score_scale(data) is None else None


def score_scale(data: DatasetManifest) -> ScoreScale | None:
    """That of train; None where all scores are from 0 to 1."""
    found = [split.scores for split in data.splits.values() if split.scores is not None]
    if all(scores["min"] >= 0 and scores["max"] <= 1 for scores in found):
        return None
    train = data.splits["train"].scores or found[0]
    return ScoreScale(train["min"], train["max"])
