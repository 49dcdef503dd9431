"""The driver of distillation."""

from app.domain.methods import DistillationSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.training.student import dense_phase, train_student
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
        match spec.initialisation:
            case "random":
                start = InitialStudent(random_network(teacher, data, context), projection=None)
            case "weight_copy":
                start = subcloned_network(teacher, data, context, layer_map=spec.layer_map)
            case "weight_selection":
                start = evenly_spaced_network(teacher, data, context)
        training_objective = distillation_objective(
            spec.distillation, teacher, data, context, projection=start.projection
        )
        return train_student(
            start.network,
            data,
            phases=[dense_phase(start.network, training_objective, context)],
            training_objective=training_objective,
            context=context,
        )
