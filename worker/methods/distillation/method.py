"""The driver of distillation."""

from app.domain.methods import DistillationSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.student import distilled_student
from worker.transfer.initialisation import (
    InitialStudent,
    evenly_spaced_network,
    random_network,
    subcloned_network,
)


class Distillation:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: DistillationSpec, context: RunContext
    ) -> Student:
        weights = spec.initial_weights(teacher.architecture, context.architecture)
        match "random" if teacher.is_untrained else weights:
            case "random":
                initial = InitialStudent(random_network(teacher, data, context), projection=None)
            case "weight_copy":
                initial = subcloned_network(teacher, data, context, layer_map=spec.layer_map)
            case "weight_selection":
                initial = evenly_spaced_network(teacher, data, context)
        return distilled_student(initial, teacher, data, spec.distillation, context)
