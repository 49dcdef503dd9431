"""The driver of weight selection."""

from app.domain.methods import WeightSelectionSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.training.student import dense_phase, train_student
from worker.transfer.initialisation import evenly_spaced_network


class WeightSelection:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightSelectionSpec, context: RunContext
    ) -> Student:
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
