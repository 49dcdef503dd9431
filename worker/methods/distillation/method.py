"""The driver of logits distillation."""

from app.core.specs import DistillationSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.initialisation import random_network, subcloned_network
from worker.training.student import dense_phase, objective_of, train_student


class Distillation:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: DistillationSpec, context: RunContext
    ) -> Student:
        if spec.initialisation == "weight_copy":
            network = subcloned_network(teacher, data, context, layer_map=spec.layer_map)
        else:
            network = random_network(teacher, context)
        return train_student(
            network,
            data,
            phases=[dense_phase(network, data, context)],
            objective=objective_of(spec.distillation, teacher, data, context),
            context=context,
        )
