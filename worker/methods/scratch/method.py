"""The driver of training from scratch."""

from app.domain.methods import ScratchSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import label_objective
from worker.training.student import dense_phase, train_student
from worker.transfer.initialisation import random_network


class Scratch:
    def compress(self, teacher: Teacher, data: TaskData, spec: ScratchSpec, context: RunContext) -> Student:
        network = random_network(teacher, data, context)
        training_objective = label_objective(data, context)
        return train_student(
            network,
            data,
            phases=[dense_phase(network, training_objective, context)],
            training_objective=training_objective,
            context=context,
        )
