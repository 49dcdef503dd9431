"""The driver of fine-tuning."""

from app.core.specs import FineTuningSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.training.loop import Phase, total_steps
from worker.training.objectives import label_loss
from worker.training.student import train_student
from worker.training.weights import DenseWeights, Rates

_RATE_TIMES_WIDTH = 5e-5 * 768
"""The usual rate of BERT-base; a narrower network wants as much more."""


class FineTuning:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: FineTuningSpec, context: RunContext
    ) -> Student:
        network = teacher.network.to(context.device)
        training = context.training
        rate = training.learning_rate or _RATE_TIMES_WIDTH / teacher.card.shape.hidden
        rates = Rates(rate, training.weight_decay)
        steps = total_steps(data.train, training)
        return train_student(
            network,
            data,
            phases=[Phase("fine_tuning", steps, lambda: DenseWeights(network, rates))],
            objective=label_loss,
            context=context,
        )
