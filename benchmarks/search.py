"""``auto`` beside an exhaustive sweep: ``python -m benchmarks.search --data ../shared/data --set stsb``.

Both have the same candidates, teacher and data. The sweep trains all of them in full; the search takes the
service's own steps, one run at a time. A run is kept once it is measured, and a full run of the search is
the sweep's row of the same candidate. Quality is that of the network; what it retains is its measured share.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from app.domain.documents import TrainingSpec
from app.domain.documents.auto import Goals, SearchBudget
from app.domain.documents.search import Candidate, Measurement, SearchState
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS
from app.domain.planning import plan_student
from app.domain.search.candidates import distinct, fitting_methods, targets_of
from app.domain.search.halving import is_full
from app.domain.search.proposing import propose
from app.domain.search.steps import Ended, take_step, with_runs
from app.domain.tasks import TASKS
from benchmarks.harness import Benchmark, Goal, Row, Value, print_table, say, select
from benchmarks.methods.entry import STUDENT_TRAINING
from benchmarks.methods.workbench import Place, Workbench
from benchmarks.sets import SETS
from benchmarks.students import compress, trimmed
from worker.evaluation.quality import measure as measure_quality

NAMES = ("sst2", "clinc150", "stsb")
METHODS = ["distillation", "weight_inherited", "bilstm"]
GOALS = Goals(retain=0.97, minimize="parameters")
TRIALS = 8


def _size(rows: Sequence[Row], name: str) -> float | None:
    """Parameters of the search's student over those of the sweep's best."""
    sizes = [
        min((float(str(row["parameters"])) for row in part if _meets(row)), default=None)
        for part in (_of_search(rows, name), select(rows, kind="run", set=name, share=1.0))
    ]
    return None if sizes[0] is None or sizes[1] is None else sizes[0] / sizes[1]


def _time(rows: Sequence[Row], name: str) -> float | None:
    """Seconds of the search's runs over those of the sweep's."""
    ours = sum(float(str(row["wall_s"])) for row in _of_search(rows, name))
    sweep = sum(float(str(row["wall_s"])) for row in select(rows, kind="run", set=name, share=1.0))
    return ours / sweep if ours and sweep and select(rows, kind="swept", set=name) else None


def _meets(row: Row) -> bool:
    return float(str(row["retained"])) >= GOALS.retain


def _of_search(rows: Sequence[Row], name: str) -> list[Row]:
    """The runs that the search chose, in full or not."""
    chosen = {(row["candidate"], row["share"]) for row in select(rows, kind="chosen", set=name)}
    runs = select(rows, kind="run", set=name)
    return [row for row in runs if (row["candidate"], row["share"]) in chosen]


BENCH = Benchmark(
    "search",
    keys=("kind", "set", "candidate", "share"),
    goals=[
        goal
        for name in NAMES
        for goal in (
            Goal(
                f"{name}: at most 1.3 times as large as the sweep's best",
                partial(_size, name=name),
                at_most=1.3,
            ),
            Goal(f"{name}: at most a quarter of the sweep's time", partial(_time, name=name), at_most=0.25),
        )
    ],
)


def measure(options: argparse.Namespace) -> None:
    workbench = Workbench(options.data)
    for name in NAMES if options.set is None else [options.set]:
        place = Place(name, seed=0, rows=options.rows)
        state = first_state(workbench, place)
        say(f"{name}: {len(state.candidates)} candidates")
        _search(workbench, place, state)
        for index in range(len(state.candidates)):
            _run(workbench, place, state, index, 1.0)
        BENCH.run(("swept", name, len(state.candidates), 1.0), dict)
    print_table(select(BENCH.rows, kind="run"))


def first_state(workbench: Workbench, place: Place) -> SearchState:
    teacher, data = workbench.teacher(place)
    training = _training(place)
    found = []
    for method in fitting_methods(data.task, teacher.architecture, METHODS):
        for target in targets_of(method, vocabulary=teacher.architecture.vocabulary):
            try:
                student = plan_student(teacher.architecture, method, target, head=data.head)
            except InvalidRequest:
                continue
            words = student.architecture.vocabulary
            found.append(
                Candidate.model_validate(
                    {
                        "method": method.model_dump(),
                        "target": target.model_copy(update={"vocabulary_size": words})
                        if words < teacher.architecture.vocabulary
                        else target,
                        "training": training,
                        "parameters": student.parameters.total,
                        "size_mb": student.size_mb,
                        "seconds": 1.0,
                        "training_seconds": 1.0,
                    }
                )
            )
    budget = SearchBudget(trials=TRIALS)
    return SearchState(goals=GOALS, budget=budget, candidates=distinct(found))


def _training(place: Place) -> TrainingSpec:
    chosen = SETS[place.name]
    return TrainingSpec(
        **STUDENT_TRAINING[place.name],
        metric=None if TASKS[chosen.task].selects_by_loss else chosen.metric,
        max_length=chosen.max_length,
    )


def _search(workbench: Workbench, place: Place, state: SearchState) -> None:
    ended: dict[str, Ended] = {}
    while True:
        step = take_step(state, ended, elapsed_s=0.0, propose=propose)
        jobs = [f"{run.candidate}-{run.share}" for run in step.runs]
        state = with_runs(step.state, step.runs, jobs)
        if state.is_over:
            return
        trial = state.running[0]
        BENCH.run(("chosen", place.name, trial.candidate, trial.share), dict)
        row = _run(workbench, place, state, trial.candidate, trial.share)
        ended = {trial.job: Ended("finished", None, (_measurement(row),))}


def _measurement(row: Row) -> Measurement:
    retained, parameters = float(str(row["retained"])), int(str(row["parameters"]))
    return Measurement(
        precision="fp32",
        parameters=parameters,
        size_mb=4 * parameters / 1e6,
        latency_ms=None,
        quality=float(str(row["dev"])),
        retained=retained,
        retained_low=retained,
        retained_high=retained,
    )


def _run(workbench: Workbench, place: Place, state: SearchState, index: int, share: float) -> Row:
    candidate = state.candidates[index]
    return BENCH.run(
        ("run", place.name, index, share), partial(train_candidate, workbench, place, candidate, share)
    )


def train_candidate(
    workbench: Workbench, place: Place, candidate: Candidate, share: float
) -> Mapping[str, Value]:
    teacher, data = workbench.teacher(place)
    metric = SETS[place.name].metric
    whole = measure_quality(teacher.network, data.dev, data, device=teacher.network.device)[metric]
    training = candidate.training
    if not is_full(candidate, share):
        epochs = (training.epochs or 1.0) * share
        training = training.model_copy(update={"epochs": epochs, "max_epochs": epochs})
    began = time.perf_counter()
    smaller, read = trimmed(teacher, data, candidate.target, partial(workbench.read, place))
    # Of the whole teacher: its ratio counts all words, also those that the student is to do without.
    planned = plan_student(teacher.architecture, candidate.method, candidate.target, head=data.head)
    words = smaller.architecture.vocabulary
    student = compress(
        smaller,
        read,
        candidate.method,
        training,
        target=candidate.target,
        architecture=planned.architecture.model_copy(update={"vocabulary": words}),
    )
    wall_s = time.perf_counter() - began
    dev = measure_quality(student.network, read.dev, read, device=student.network.device)[metric]
    return {
        "method": candidate.method.name,
        "ratio": candidate.target.compression_ratio,
        "vocabulary": candidate.target.vocabulary_size,
        "parameters": sum(weight.numel() for weight in student.network.parameters()),
        "dev": dev,
        "retained": dev / whole,
        "wall_s": wall_s,
    }


if __name__ == "__main__":
    assert set(METHODS) <= METHOD_SPECS.keys()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=NAMES, default=None)
    parser.add_argument(
        "--rows", type=int, default=None, help="the first of train and of dev, to try this out; default: all"
    )
    sys.exit(BENCH.main(measure, parser, selects=["set"]))
