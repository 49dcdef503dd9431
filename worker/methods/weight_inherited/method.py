"""The driver of weight-inherited distillation."""

from dataclasses import replace

from app.domain.architectures import encoder_of
from app.domain.methods import DistillationTerms, WeightInheritedSpec
from app.domain.methods.weight_inherited import REFITS, REFITTING_TOKENS
from app.domain.tasks import TASKS
from worker.contracts import RunContext, Student, TaskData, Teacher
from worker.distillation.training_objective import distillation_objective
from worker.methods.weight_inherited.head_rotation import turn_heads
from worker.methods.weight_inherited.indices import Schedule
from worker.methods.weight_inherited.inheriting import CompactionRates, InheritedWeights
from worker.methods.weight_inherited.rotation import rotate
from worker.methods.weight_inherited.wiring import RESIDUAL
from worker.training.loop import Phase, total_steps
from worker.training.schedules import PhaseSchedule
from worker.training.selection import PhaseSelection
from worker.training.student import dense_phase, rates_of, train_student
from worker.transfer.initialisation import calibration_batches, random_network


class WeightInherited:
    def compress(
        self, teacher: Teacher, data: TaskData, spec: WeightInheritedSpec, context: RunContext
    ) -> Student:
        architecture, planned = encoder_of(teacher.architecture), encoder_of(context.architecture)
        teacher.network.to(context.device)
        network = random_network(teacher, data, context)
        training_objective = distillation_objective(
            _on_predictions(spec.distillation), teacher, data, context
        )
        rates = rates_of(context)
        steps = total_steps(training_objective.split, context.training)
        dense_steps = min(round(steps * spec.dense_ratio), steps - 1)  # at least one step inherits
        inheriting_steps = steps - dense_steps
        prune_steps = min(max(1, round(steps * spec.prune_ratio)), inheriting_steps)

        def inherited() -> InheritedWeights:
            weights = InheritedWeights(
                network,
                teacher.network,
                architecture,
                data.head,
                target=planned.shape,
                whole_heads=spec.strategy == "head",
                schedule=Schedule(prune_steps, REFITS),
                rates=CompactionRates(
                    compactors=spec.compactor_rate_ratio * rates.learning_rate,
                    matrices=spec.inherited_rate_ratio * rates.learning_rate,
                    vectors=rates.learning_rate,
                ),
                batches=calibration_batches(data, device=context.device, tokens=REFITTING_TOKENS),
                on_fit=lambda _: context.check_cancelled(),
            )
            # The head of masked words bends what it is given before the tied table reads it: it cannot turn.
            if spec.rotation == "pca" and not TASKS[data.task].masks_inputs:
                batches = calibration_batches(data, device=context.device)
                norms = weights.wiring.norms_on(RESIDUAL)
                # A head that is kept or given up as a whole gains nothing by being turned.
                turned = range(architecture.shape.layers) if spec.strategy == "dim" else ()

                def on_part(number: int) -> None:
                    context.check_cancelled()
                    context.report("preparing", number, len(norms) + len(turned))

                rotate(weights, teacher.network, batches, on_norm=lambda norm: on_part(norms.index(norm)))
                for layer in turned:
                    on_part(len(norms) + layer)
                    turn_heads(weights, teacher.network, batches, layer=layer)
            return weights

        # One decay over both phases: what stays has to make up for the last portions too.
        handover = dense_steps / steps
        phases = [
            Phase(
                "inheriting",
                inherited,
                PhaseSchedule(inheriting_steps, rates=(1.0, handover)),
                PhaseSelection(unfinished_steps=prune_steps),
            )
        ]
        if dense_steps:
            schedule = PhaseSchedule(dense_steps, rates=(handover, 0.0))
            dense = dense_phase(network, training_objective, context, name="dense", schedule=schedule)
            own_objective = distillation_objective(spec.distillation, teacher, data, context)
            phases.append(replace(dense, training_objective=own_objective))
        return train_student(
            network, data, phases=phases, training_objective=training_objective, context=context
        )


def _on_predictions(terms: DistillationTerms | None) -> DistillationTerms | None:
    """The terms on predictions: that on relations is for a network whose width stays."""
    return None if terms is None else terms.model_copy(update={"relation_weight": 0.0})
