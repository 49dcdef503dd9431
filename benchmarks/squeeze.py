"""Weight squeezing against its controls: quality at equal size, data and steps, and what a step costs.

MiniLM-L6 is fine-tuned as the teacher; every method makes a student of 3 layers x 192 from it on the same
batches. Two rows of each kind are controls of one another: with the labels alone, and with the teacher's
predictions at the same temperature and weight. Then each method takes the same few steps in turn, round after
round, and medians of rounds are compared.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from transformers import PreTrainedModel

from app.core.shapes import EncoderCard, Shape
from app.core.specs import MethodSpec, Target, TrainingSpec
from benchmarks.harness import Benchmark, Goal, Row, Value, mean, median, numbers, print_table, ratio
from benchmarks.sets import read_set
from benchmarks.students import WORK, compress, fine_tuned_minilm, load_minilm
from worker.contracts import Student, TaskData, Teacher
from worker.data import batch_rows
from worker.evaluation.quality import measure as measure_quality

SHAPE = Shape(layers=3, hidden=192, heads=6, ffn=768)
TARGET = Target(shape=SHAPE)
MAX_LENGTH = 64
KD: dict[str, Any] = {"distillation": {"temperature": 2.0, "logits_weight": 0.9}}
SMALL_MODEL = "mdl_" + "0" * 26
"""What the gate mixes with: the student of ``distillation`` with the same seed."""

VARIANTS: dict[str, dict[str, Any]] = {
    "scratch": {"name": "scratch"},
    "distillation": {"name": "distillation", **KD},
    "weight_copy": {"name": "weight_copy"},
    "weight_copy + KD": {"name": "weight_copy", **KD},
    "weight_squeezing": {"name": "weight_squeezing"},
    "weight_squeezing + KD": {"name": "weight_squeezing", **KD},
}
# What else there is to know, measured last: another start, and the small model of ``distillation`` trained
# on, plainly and mixed with the squeezed teacher.
MORE_VARIANTS: dict[str, dict[str, Any]] = {
    "weight_squeezing, select + KD": {"name": "weight_squeezing", "initial_map": "select", **KD},
    "small model, fine-tuned": {"name": "fine_tuning"},
    "small model, gated": {"name": "weight_squeezing", "gate": {"small_model": SMALL_MODEL}},
}
TIMED = {
    "plain": VARIANTS["scratch"],
    "KD, cached": VARIANTS["distillation"],
    "squeezing": {"name": "weight_squeezing", "dense_ratio": 0.0},
    "squeezing + KD, cached": {"name": "weight_squeezing", "dense_ratio": 0.0, **KD},
}
TIMED_STEPS = 60


def _gain(rows: Sequence[Row], method: str, over: Sequence[str]) -> float | None:
    """Points of mean dev accuracy over the best of some controls."""
    ours = mean(rows, "dev", part="quality", variant=method)
    theirs = [mean(rows, "dev", part="quality", variant=control) for control in over]
    if ours is None or any(value is None for value in theirs):
        return None
    return ours - max(value for value in theirs if value is not None)


bench = Benchmark(
    "squeeze",
    keys=("part", "variant", "seed"),
    goals=[
        Goal(
            "MiniLM-L6 fine-tuned as teacher: at least 90.0 % dev accuracy",
            lambda rows: median(rows, "dev", part="teacher"),
            at_least=90.0,
        ),
        Goal(
            "weight squeezing at least 1.0 point over distillation from random weights, mean of seeds",
            lambda rows: _gain(rows, "weight_squeezing + KD", ["distillation"]),
            at_least=1.0,
        ),
        Goal(
            "weight squeezing at least 1.0 point over scratch, mean of seeds",
            lambda rows: _gain(rows, "weight_squeezing", ["scratch"]),
            at_least=1.0,
        ),
        Goal(
            "weight squeezing not below weight copy, both with the teacher's predictions",
            lambda rows: _gain(rows, "weight_squeezing + KD", ["weight_copy", "weight_copy + KD"]),
            at_least=0.0,
        ),
        Goal(
            "weight squeezing not below weight copy, both with the labels alone",
            lambda rows: _gain(rows, "weight_squeezing", ["weight_copy"]),
            at_least=0.0,
        ),
        Goal(
            "the KD term with cached teacher outputs costs at most 1.15 of the plain step",
            lambda rows: _step_ratio(rows, "KD, cached", "plain"),
            at_most=1.15,
        ),
    ],
)


def _step_ratio(rows: Sequence[Row], variant: str, against: str) -> float | None:
    return ratio(
        median(rows, "seconds_per_step", part="steps", variant=variant),
        median(rows, "seconds_per_step", part="steps", variant=against),
    )


def measure(options: argparse.Namespace) -> None:
    data = read_set("sst2", options.data.parent, load_minilm("text_classification", ["0", "1"], seed=0))
    teacher = _measure_teacher(options, data)
    if options.only in (None, "quality"):
        for seed in range(options.seeds):
            for variant, settings in VARIANTS.items():
                training = _training(options, seed)
                bench.run(
                    ("quality", variant, seed),
                    partial(
                        _measure_quality, teacher, data, settings, training, keep=variant == "distillation"
                    ),
                )
        for seed in range(options.seeds):
            for variant, settings in MORE_VARIANTS.items():
                training = _training(options, seed)
                bench.run(
                    ("quality", variant, seed), partial(_measure_quality, teacher, data, settings, training)
                )
    if options.only in (None, "steps"):
        for number in range(options.rounds):
            for variant, settings in TIMED.items():
                bench.run(("steps", variant, number), partial(_measure_steps, teacher, data, settings))
    _print_tables()


def _training(options: argparse.Namespace, seed: int) -> TrainingSpec:
    return TrainingSpec(epochs=options.epochs, batch_size=64, max_length=MAX_LENGTH, seed=seed)


def _small_model_folder(seed: int) -> Path:
    return WORK / "squeeze" / f"small-{seed}"


def _measure_teacher(options: argparse.Namespace, data: TaskData) -> Teacher:
    folder = WORK / "squeeze" / "teacher"
    training = TrainingSpec(
        epochs=options.teacher_epochs, batch_size=32, max_length=MAX_LENGTH, evaluations=20
    )

    def train() -> dict[str, Value]:
        began = time.perf_counter()
        teacher, trained = fine_tuned_minilm(folder, data, training)
        return {
            "dev": _dev_accuracy(teacher.network, data),
            "parameters": teacher.network.num_parameters(),
            # One that an earlier run left is read, not trained: the same seed, the same weights.
            "wall_s": time.perf_counter() - began if trained else None,
        }

    bench.run(("teacher", "fine_tuning", 0), train)
    teacher, _ = fine_tuned_minilm(folder, data, training)
    return teacher


def _measure_quality(
    teacher: Teacher, data: TaskData, settings: dict[str, Any], training: TrainingSpec, *, keep: bool = False
) -> dict[str, Value]:
    began = time.perf_counter()
    student = _student(teacher, data, settings, training)
    if keep:
        student.network.save_pretrained(_small_model_folder(training.seed))
    return {
        "dev": _dev_accuracy(student.network, data),
        "parameters": student.network.num_parameters(),
        "steps": student.metrics["steps"],
        "best_step": student.metrics["best_step"],
        "seconds_per_step": student.metrics["seconds_per_step"],
        "wall_s": time.perf_counter() - began,
    }


def _measure_steps(teacher: Teacher, data: TaskData, settings: dict[str, Any]) -> dict[str, Value]:
    """A few steps on batches of usual length, evaluated once at the end."""
    rows = batch_rows(data.train.lengths, batch_size=64, seed=0, epoch=0)
    epochs = TIMED_STEPS / len(rows)
    training = TrainingSpec(epochs=epochs, batch_size=64, max_length=MAX_LENGTH, evaluations=1)
    student = _student(teacher, data, settings, training)
    batches = rows[:TIMED_STEPS]
    tokens = statistics.fmean(len(batch) * int(data.train.lengths[batch].max()) for batch in batches)
    assert isinstance(teacher.card, EncoderCard)
    encoder = teacher.card.count(SHAPE, head=data.head).encoder
    return {
        "seconds_per_step": student.metrics["seconds_per_step"],
        "plain_multiply_adds": 3 * encoder * tokens,
        # Made once forwards, and twice as much work backwards, as any product of matrices.
        "mapping_multiply_adds": 3 * student.metrics.get("mapping_multiply_adds", 0),
    }


def _student(teacher: Teacher, data: TaskData, settings: dict[str, Any], training: TrainingSpec) -> Student:
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python(settings)
    small = partial(_small_model, data, training.seed)
    if spec.name == "fine_tuning":
        return compress(small(), data, spec, training, target=None)
    return compress(
        teacher, data, spec, training, target=TARGET, load_small=lambda _model_id: small().network
    )


def _small_model(data: TaskData, seed: int) -> Teacher:
    return load_minilm(data.task, data.labels, seed=seed, folder=_small_model_folder(seed))


def _dev_accuracy(network: PreTrainedModel, data: TaskData) -> float:
    return 100 * measure_quality(network, data.dev, data, device=network.device)["accuracy"]


def _print_tables() -> None:
    table: list[dict[str, Value]] = []
    for variant in (*VARIANTS, *MORE_VARIANTS):
        where = {"part": "quality", "variant": variant}
        accuracies = numbers(bench.rows, "dev", **where)
        if accuracies:
            table.append(
                {
                    "method": variant,
                    "dev accuracy": statistics.fmean(accuracies),
                    "spread": max(accuracies) - min(accuracies),
                    "seeds": len(accuracies),
                    "parameters": median(bench.rows, "parameters", **where),
                    "seconds a step": median(bench.rows, "seconds_per_step", **where),
                    "wall-clock s": median(bench.rows, "wall_s", **where),
                }
            )
    print_table(table)
    print()
    print_table(
        [
            {
                "step": variant,
                "seconds": median(bench.rows, "seconds_per_step", part="steps", variant=variant),
                "of plain": _step_ratio(bench.rows, variant, "plain"),
                "multiply-adds of plain": _multiply_add_ratio(variant),
            }
            for variant in TIMED
        ]
    )


def _multiply_add_ratio(variant: str) -> float | None:
    """What the ratio would be if every multiply-add took as long as every other."""
    where = {"part": "steps", "variant": variant}
    plain = median(bench.rows, "plain_multiply_adds", **where)
    mapping = median(bench.rows, "mapping_multiply_adds", **where)
    return None if plain is None or mapping is None else (plain + mapping) / plain


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sst2"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--teacher-epochs", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["quality", "steps"])
    return bench.main(measure, parser, selects=["only", "seeds", "rounds"])


if __name__ == "__main__":
    sys.exit(main())
