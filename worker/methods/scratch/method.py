"""The driver of training from scratch."""

from app.core.specs import ScratchSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.initialisation import random_network
from worker.training.objectives import label_loss
from worker.training.student import dense_phase, train_student


class Scratch:
    def compress(self, teacher: Teacher, data: TaskData, spec: ScratchSpec, context: RunContext) -> Student:
        network = random_network(teacher, context)
        return train_student(
            network,
            data,
            phases=[dense_phase(network, data, context)],
            objective=label_loss,
            context=context,
        )
