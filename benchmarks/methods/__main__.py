"""Every method beside its controls: ``python -m benchmarks.methods --data ../shared/data --seeds 3``.

Rows of the same part, set and size have the same teacher, data, steps, shape and seed. Teachers are trained
first, and kept. Then rows go seed by seed, so that a stopped run has whole comparisons. ``--only latency``,
on a machine that does nothing else, takes each student's time beside its teacher's, in turns.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter
from transformers import PreTrainedModel

from app.domain.architectures import Architecture
from app.domain.documents import Target, TrainingSpec
from app.domain.methods import MethodSpec
from app.domain.planning import plan_student
from app.domain.tasks import TASKS
from app.engine.threads import threads_per_run
from benchmarks.harness import Benchmark, Value, select
from benchmarks.methods.entry import STUDENT_TRAINING, Entry
from benchmarks.methods.goals import GOALS
from benchmarks.methods.parts import PARTS
from benchmarks.methods.tables import write_tables
from benchmarks.methods.workbench import Place, Workbench
from benchmarks.sets import SETS
from benchmarks.students import WORK, compress, device, trimmed
from worker.contracts import TaskData, Teacher
from worker.evaluation.latency import measure_latency
from worker.evaluation.quality import measure as measure_quality
from worker.export.exports import files_of, make_exports, onnx_name, open_export

bench = Benchmark("methods", keys=("part", "set", "size", "variant", "seed"), goals=GOALS)


def measure(options: argparse.Namespace) -> None:
    workbench = Workbench(options.data)
    if options.only == "latency":
        return _measure_latencies(workbench, options)
    chosen = [options.only] if options.only else list(PARTS)
    for seed in range(options.seeds):
        for part in chosen:
            for entry in PARTS[part]():
                if options.set in (None, entry.set) and options.size in (None, entry.size):
                    place = Place.of(entry.set, seed)
                    bench.run(
                        ("teacher", place.name, "", "teacher", place.seed),
                        partial(_teacher_row, workbench, place),
                    )
                    key = (entry.part, entry.set, entry.size, entry.variant, seed)
                    bench.run(key, partial(_student_row, workbench, place, entry, seed))
    write_tables(bench.rows, options.out.with_suffix(".md"))
    return None


def _measure_latencies(workbench: Workbench, options: argparse.Namespace) -> None:
    """Each student beside its teacher, in turns, from the files, if any, that its last training left."""
    students = [
        entry
        for part in PARTS.values()
        for entry in part()
        if select(bench.rows, part=entry.part, set=entry.set, size=entry.size, variant=entry.variant)
        and _exports(entry).exists()
    ]
    for number in range(options.seeds):
        for entry in students:
            key = (f"latency {entry.part}", entry.set, entry.size, entry.variant, number)
            bench.run(key, partial(_latency_row, workbench, Place.of(entry.set, 0), entry))
    write_tables(bench.rows, options.out.with_suffix(".md"))


def _latency_row(workbench: Workbench, place: Place, entry: Entry) -> dict[str, Value]:
    """Milliseconds of one text and of 32, the student's and, right after, the teacher's."""
    teacher, data = workbench.teacher(place)
    base = workbench.small_model(place) if entry.from_small else teacher
    base, own_data = trimmed(base, data, _target(entry), partial(workbench.read, place))
    student = _planned(entry, base, own_data)
    if not place.exports.exists():
        make_exports(teacher.network, ["fp32", "int8"], place.exports)
    row: dict[str, Value] = {}
    for precision in ("fp32", "int8"):
        for whose, architecture, folder, read in (
            ("", student, _exports(entry), own_data),
            ("teacher_", teacher.architecture, place.exports, data),
        ):
            path = folder / onnx_name(precision, teacher.network)
            threads = threads_per_run(architecture, read.head)
            opened = open_export(path, teacher.network, threads=threads)
            found = measure_latency(opened, read.dev, pad_id=read.pad_id)
            row |= {f"{whose}{precision}_ms_{count}": value for count, value in found.items()}
    return row


def _planned(entry: Entry, teacher: Teacher, data: TaskData) -> Architecture:
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python(entry.method)
    return plan_student(teacher.architecture, spec, _target(entry), head=data.head).architecture


def _exports(entry: Entry) -> Path:
    return WORK / "exports" / f"{entry.part}-{entry.set}-{entry.size}-{entry.variant}"


def _target(entry: Entry) -> Target | None:
    return None if entry.target is None else Target.model_validate(entry.target)


def _teacher_row(workbench: Workbench, place: Place) -> dict[str, Value]:
    is_trained_now = not place.weights.exists()
    began = time.perf_counter()
    teacher, data = workbench.teacher(place)
    wall_s = time.perf_counter() - began
    row = _measured(teacher.network, teacher.architecture, data, SETS[place.name].metric, place.exports)
    row |= _tested(workbench, place, teacher, teacher.network, data)
    return {**row, "wall_s": wall_s if is_trained_now else None}


def _student_row(workbench: Workbench, place: Place, entry: Entry, seed: int) -> dict[str, Value]:
    teacher, data = workbench.teacher(place)
    chosen = SETS[entry.set]
    if entry.from_small:
        teacher = workbench.small_model(place)
    training = TrainingSpec(
        **(STUDENT_TRAINING[entry.set] | entry.training),
        metric=None if TASKS[chosen.task].selects_by_loss else chosen.metric,
        max_length=chosen.max_length,
        seed=seed,
    )
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python(entry.method)
    target = _target(entry)
    began = time.perf_counter()
    teacher, data = trimmed(teacher, data, target, partial(workbench.read, place))
    student = compress(
        teacher,
        data,
        spec,
        training,
        target=target,
        load_small=lambda _role: workbench.small_model(place).network,
    )
    wall_s = time.perf_counter() - began
    return {
        **_measured(student.network, _planned(entry, teacher, data), data, chosen.metric, _exports(entry)),
        **_tested(workbench, place, teacher, student.network, data),
        "steps": student.metrics["steps"],
        "best_step": student.metrics["best_step"],
        "seconds_per_step": student.metrics["seconds_per_step"],
        "wall_s": wall_s,
    }


def _measured(
    network: PreTrainedModel, architecture: Architecture, data: TaskData, metric: str, folder: Path
) -> dict[str, Value]:
    """Quality on dev, and sizes."""
    found = measure_quality(network.to(device()), data.dev, data, device=device())
    paths = make_exports(network.cpu(), ["fp32", "int8"], folder)
    row: dict[str, Value] = {
        "dev": found[metric] * (1 if metric == "bleu" else 100),
        "parameters": architecture.count(head=data.head).total,
    }
    for precision, path in paths.items():
        row[f"{precision}_mb"] = sum(file.stat().st_size for file in files_of(path)) / 1e6
    return row


def _tested(
    workbench: Workbench, place: Place, reader: Teacher, network: PreTrainedModel, data: TaskData
) -> dict[str, Value]:
    """Of vectors the metrics on test, which selects nothing, in percent."""
    if not TASKS[data.task].answers_in_vectors:
        return {}
    test = workbench.test(place, reader)
    found = measure_quality(network.to(device()), test, data, device=device())
    return {f"test_{name}": 100 * value for name, value in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=[*PARTS, "latency"], help="one claim, or the students' time")
    parser.add_argument("--set", choices=list(SETS), help="one data set")
    parser.add_argument("--size", help="one size of a claim that has several")
    return bench.main(measure, parser, selects=["only", "seeds", "set", "size", "data"])


if __name__ == "__main__":
    sys.exit(main())
