"""The driver of fine-tuning."""

from torch import nn

from app.domain.architectures import StaticShape, TfidfShape
from app.domain.methods import FineTuningSpec
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import label_objective
from worker.networks.views import head_parameters
from worker.parameterization.parameterizations import DenseWeights, Rates
from worker.training.loop import Phase, total_steps
from worker.training.schedules import PhaseSchedule
from worker.training.student import LEARNING_RATE, train_student

_RATE_TIMES_WIDTH = 0.05
"""Measured on MiniLM-L6, 384 wide; at other widths Adam's best rate goes with 1 / width (Yang et al., 2022,
arXiv:2203.03466). It makes 6.5e-5 of BERT-base."""


class FineTuning:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: FineTuningSpec, context: RunContext
    ) -> Student:
        network = teacher.network.to(context.device)
        training = context.training
        shape = teacher.architecture.shape
        assert not isinstance(shape, (TfidfShape, StaticShape)), "planning refuses it"
        rate = training.learning_rate or _RATE_TIMES_WIDTH / shape.hidden
        rates = Rates(rate, training.weight_decay)
        # What knows nothing yet has a longer way to go than what is pretrained.
        head_rates = Rates(max(rate, LEARNING_RATE), training.weight_decay)
        own_rates = dict.fromkeys(_new_head(teacher), head_rates)
        training_objective = label_objective(data, context)
        phase = Phase(
            "fine_tuning",
            lambda: DenseWeights(network, rates, own_rates=own_rates, words=training_objective.words),
            PhaseSchedule(total_steps(training_objective.split, training)),
        )
        return train_student(
            network,
            data,
            phases=[phase],
            training_objective=training_objective,
            context=context,
            default_rate=rate,
        )


def _new_head(teacher: Teacher) -> tuple[nn.Parameter, ...]:
    return head_parameters(teacher.network, teacher.architecture) if teacher.has_new_head else ()
