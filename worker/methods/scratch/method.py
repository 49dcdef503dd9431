"""The driver of training from scratch."""

from app.domain.methods import ScratchSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.student import distilled_student
from worker.transfer.initialisation import InitialStudent, random_network


class Scratch:
    def compress(self, teacher: Teacher, data: TaskData, spec: ScratchSpec, context: RunContext) -> Student:
        initial = InitialStudent(random_network(teacher, data, context), projection=None)
        return distilled_student(initial, teacher, data, None, context)
