"""The driver of weight subcloning."""

from app.domain.methods import WeightCopySpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.training.student import dense_phase, train_student
from worker.transfer.initialisation import subcloned_network


class WeightCopy:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightCopySpec, context: RunContext
    ) -> Student:
        start = subcloned_network(teacher, data, context, layer_map=spec.layer_map, rescale=spec.rescale)
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
