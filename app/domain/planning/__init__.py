"""From a target to the student, and from a student to its cost. Arithmetic only."""

from app.domain.documents.plan import Advice, Budget, Estimate, StudentPlan
from app.domain.planning.epochs import most_epochs, planned_epochs, with_epochs
from app.domain.planning.estimate import estimate
from app.domain.planning.measured import MeasuredJob
from app.domain.planning.search_space import LatencyOf
from app.domain.planning.steps import most_steps, step_count
from app.domain.planning.student import plan_student
from app.domain.planning.workload import TypicalRow, Workload, learnt_rows, windows_of

__all__ = [
    "Advice",
    "Budget",
    "Estimate",
    "LatencyOf",
    "MeasuredJob",
    "StudentPlan",
    "TypicalRow",
    "Workload",
    "estimate",
    "learnt_rows",
    "most_epochs",
    "most_steps",
    "plan_student",
    "planned_epochs",
    "step_count",
    "windows_of",
    "with_epochs",
]
