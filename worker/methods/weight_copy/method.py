"""The driver of weight subcloning."""

from app.core.specs import WeightCopySpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.initialisation import subcloned_network
from worker.training.lesson import lesson_of
from worker.training.student import dense_phase, train_student


class WeightCopy:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightCopySpec, context: RunContext
    ) -> Student:
        start = subcloned_network(teacher, data, context, layer_map=spec.layer_map, rescale=spec.rescale)
        lesson = lesson_of(spec.distillation, teacher, data, context, projection=start.projection)
        return train_student(
            start.network,
            data,
            phases=[dense_phase(start.network, lesson, context)],
            lesson=lesson,
            context=context,
        )
