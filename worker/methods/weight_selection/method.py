"""The driver of weight selection."""

from app.domain.methods import WeightSelectionSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.student import distilled_student
from worker.transfer.initialisation import evenly_spaced_network


class WeightSelection:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightSelectionSpec, context: RunContext
    ) -> Student:
        initial = evenly_spaced_network(teacher, data, context)
        return distilled_student(initial, teacher, data, spec.distillation, context)
