"""Every method beside its controls: ``python -m benchmarks.methods --data ../shared/data --seeds 3``.

Rows of the same part, set and size have the same teacher, data, steps, shape and seed. Teachers are trained
first, and kept. Then rows go seed by seed, so that a stopped run has whole comparisons.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from app.core.specs import MethodSpec, Target, TrainingSpec
from benchmarks.harness import Benchmark, Value
from benchmarks.methods.entry import STUDENT_TRAINING, TEACHER_OF, TEACHER_TRAINING, Entry
from benchmarks.methods.goals import GOALS
from benchmarks.methods.parts import PARTS
from benchmarks.methods.tables import write_tables
from benchmarks.sets import SETS, read_set
from benchmarks.students import WORK, compress, device, fine_tuned_minilm, load_minilm
from worker.contracts import TaskData, Teacher
from worker.evaluation.quality import measure as measure_quality
from worker.export.exports import make_exports

bench = Benchmark("methods", keys=("part", "set", "size", "variant", "seed"), goals=GOALS)


class Workbench:
    """Teachers and data, each made when it is first needed."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._teachers: dict[str, tuple[Teacher, TaskData]] = {}

    def teacher(self, name: str) -> tuple[Teacher, TaskData]:
        """The teacher of a set and the set in its tokens."""
        if name not in self._teachers:
            source = TEACHER_OF.get(name, name)
            task = SETS[source].task
            bare = load_minilm(task, ["0", "1"] if task == "text_classification" else [], seed=0)
            data = read_set(source, self._data, bare)
            training = TrainingSpec(
                **TEACHER_TRAINING[source], metric=SETS[source].metric, max_length=SETS[source].max_length
            )
            folder = WORK / "teachers" / source

            def train() -> dict[str, Value]:
                began = time.perf_counter()
                teacher, trained = fine_tuned_minilm(folder, data, training)
                found = measure_quality(teacher.network.to(device()), data.dev, data, device=device())
                return {
                    "dev": 100 * found[SETS[source].metric],
                    "parameters": teacher.network.num_parameters(),
                    "wall_s": time.perf_counter() - began if trained else None,
                }

            bench.run(("teacher", source, "", "fine_tuning", 0), train)
            teacher, _ = fine_tuned_minilm(folder, data, training)
            ours = data if source == name else read_set(name, self._data, teacher)
            self._teachers[name] = teacher, ours
        return self._teachers[name]


def measure(options: argparse.Namespace) -> None:
    workbench = Workbench(options.data)
    chosen = [options.only] if options.only else list(PARTS)
    for seed in range(options.seeds):
        for part in chosen:
            for entry in PARTS[part]():
                if options.set in (None, entry.set):
                    key = (entry.part, entry.set, entry.size, entry.variant, seed)
                    bench.run(key, partial(_student, workbench, entry, seed))
    write_tables(bench.rows, options.out.with_suffix(".md"))


def _student(workbench: Workbench, entry: Entry, seed: int) -> dict[str, Value]:
    teacher, data = workbench.teacher(entry.set)
    chosen = SETS[entry.set]
    settings = STUDENT_TRAINING[entry.set] | entry.training
    training = TrainingSpec(**settings, metric=chosen.metric, max_length=chosen.max_length, seed=seed)
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python(entry.method)
    target = None if entry.target is None else Target.model_validate(entry.target)
    began = time.perf_counter()
    student = compress(teacher, data, spec, training, target=target)
    wall_s = time.perf_counter() - began
    found = measure_quality(student.network.to(device()), data.dev, data, device=device())
    folder = WORK / "exports" / f"{entry.part}-{entry.set}-{entry.size}-{entry.variant}"
    paths = make_exports(student.network.cpu(), ["fp32", "int8"], folder)
    return {
        "dev": 100 * found[chosen.metric],
        "parameters": student.network.num_parameters(),
        "fp32_mb": paths["fp32"].stat().st_size / 1e6,
        "int8_mb": paths["int8"].stat().st_size / 1e6,
        "steps": student.metrics["steps"],
        "best_step": student.metrics["best_step"],
        "seconds_per_step": student.metrics["seconds_per_step"],
        "wall_s": wall_s,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=list(PARTS), help="one claim")
    parser.add_argument("--set", choices=list(SETS), help="one data set")
    return bench.main(measure, parser, selects=["only", "seeds", "set"])


if __name__ == "__main__":
    sys.exit(main())
