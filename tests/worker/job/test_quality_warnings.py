"""What a student's quality says of its training."""

from typing import Any, cast

import pytest
import torch

from tests.worker.compression import encoder_card, make_data
from worker.job.evaluator import EvaluatedModel, Evaluator
from worker.job.quality_warnings import quality_warnings

DATA = make_data(train=8, dev=32)
EVALUATOR = Evaluator(data=DATA, test=None, device=torch.device("cpu"))
NO_NETWORK = cast("Any", None)  # nothing is run


def model(accuracy: float) -> EvaluatedModel:
    quality = {"dev": {"accuracy": accuracy}}
    return EvaluatedModel(NO_NETWORK, encoder_card(), DATA.head, quality=quality)


@pytest.mark.parametrize(
    ("student", "teacher", "gain", "said"),
    [
        (0.90, 0.92, 0.0, []),
        (0.93, 0.92, 0.0, []),
        (0.90, None, 0.001, []),
        (0.40, 0.92, 0.2, ["it has learned nothing"]),
        (0.52, 0.92, 0.0, ["little more than the 0.500"]),
        (0.85, 0.80, 0.0, ["the teacher was not fully trained"]),
        (0.80, 0.92, 0.04, ["still rising"]),
        (0.80, None, 0.04, ["still rising"]),
    ],
)
def test_each_doubt_is_said_once(student, teacher, gain, said):
    warnings = list(
        quality_warnings(
            EVALUATOR,
            model(student),
            teacher=None if teacher is None else model(teacher),
            training={"final_gain": gain},
        )
    )
    assert len(warnings) == len(said)
    assert all(part in warning for part, warning in zip(said, warnings, strict=True))
