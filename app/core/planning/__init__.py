"""From a target to the student, and from a student to its cost. Arithmetic only."""

from app.core.planning.advice import Advice
from app.core.planning.estimate import Estimate, Row, estimate, step_count
from app.core.planning.families import LatencyOf
from app.core.planning.sharing import layer_schedule
from app.core.planning.student import Budget, StudentPlan, plan_student

__all__ = [
    "Advice",
    "Budget",
    "Estimate",
    "LatencyOf",
    "Row",
    "StudentPlan",
    "estimate",
    "layer_schedule",
    "plan_student",
    "step_count",
]
