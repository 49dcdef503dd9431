"""From a target to the student, and from a student to its cost. Arithmetic only."""

from app.domain.planning.advice import Advice
from app.domain.planning.estimate import Estimate, Row, estimate, step_count
from app.domain.planning.search_space import LatencyOf
from app.domain.planning.student import Budget, StudentPlan, plan_student

__all__ = [
    "Advice",
    "Budget",
    "Estimate",
    "LatencyOf",
    "Row",
    "StudentPlan",
    "estimate",
    "plan_student",
    "step_count",
]
