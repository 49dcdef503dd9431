"""The driver of weight subcloning."""

from app.domain.methods import WeightCopySpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.student import distilled_student
from worker.transfer.initialisation import subcloned_network


class WeightCopy:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightCopySpec, context: RunContext
    ) -> Student:
        initial = subcloned_network(teacher, data, context, layer_map=spec.layer_map, rescale=spec.rescale)
        return distilled_student(initial, teacher, data, spec.distillation, context)
