"""Scores of a split for a network whose one output goes through a sigmoid."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from app.domain.score_scale import ScoreScale
from app.domain.tasks.record import TEACHER_SCORES

_LEAST: Final = 1e-6
"""That stands for 0, as does its distance to 1 for 1: no output is infinite."""


def on_unit_scale(columns: Mapping[str, list[Any]], scale: ScoreScale | None) -> dict[str, list[Any]]:
    """The same columns with scores from 0 to 1, and as logits where teachers give them.

    Args:
        columns: of a canonical split of scores.
        scale: theirs; None: from 0 to 1.
    """
    changes: dict[str, Callable[[Any], Any]] = {
        "score": lambda score: float(_unit(score, scale)),
        TEACHER_SCORES: lambda scores: None if scores is None else _logits(_unit(scores, scale)),
    }
    return {
        name: [changes[name](value) for value in values] if name in changes else values
        for name, values in columns.items()
    }


def _unit(scores: Any, scale: ScoreScale | None) -> Any:
    least, greatest = (0.0, 1.0) if scale is None else scale
    return np.clip((np.asarray(scores, np.float64) - least) / ((greatest - least) or 1.0), 0.0, 1.0)


def _logits(probabilities: Any) -> Any:
    inside = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.log(inside / (1 - inside)).astype(np.float32)
