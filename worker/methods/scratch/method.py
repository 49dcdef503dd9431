"""The driver of training from scratch."""

from app.core.specs import ScratchSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.initialisation import random_network
from worker.training.lesson import labels_lesson
from worker.training.student import dense_phase, train_student


class Scratch:
    def compress(self, teacher: Teacher, data: TaskData, spec: ScratchSpec, context: RunContext) -> Student:
        network = random_network(teacher, data, context)
        lesson = labels_lesson(data, context)
        return train_student(
            network,
            data,
            phases=[dense_phase(network, lesson, context)],
            lesson=lesson,
            context=context,
        )
