"""Whether two models that answered the same rows differ by more than chance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr


@dataclass(frozen=True)
class McNemar:
    """The exact test: of rows that one model alone answers right, each has as many if both are as good."""

    student_only: int
    """Rows that only the student answers right."""
    teacher_only: int
    p_value: float
    """Two-sided."""


def mcnemar(student_right: npt.NDArray[np.bool_], teacher_right: npt.NDArray[np.bool_]) -> McNemar:
    """Of (N,) and (N,): whether each row was answered right."""
    student_only = int(np.count_nonzero(student_right & ~teacher_right))
    teacher_only = int(np.count_nonzero(teacher_right & ~student_right))
    fewer, both = min(student_only, teacher_only), student_only + teacher_only
    return McNemar(student_only, teacher_only, min(1.0, 2 * float(bdtr(fewer, both, 0.5))) if both else 1.0)
