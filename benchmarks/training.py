"""What training costs: ``python -m benchmarks.training --data ../shared/data``.

``peers``: one distillation of the same student from the same weights, on the same texts, epochs, batch size,
rate and loss, round after round in turn, each in a process of its own and timed from texts to trained
weights: this service without and with the teacher's outputs at hand, TextBrewer and transformers' Trainer as
they come, and a Trainer tuned with bf16 and batches of like length. Peers live in an environment of their
own, made at the first run.

``steps``: a few steps of each method on the same batches, with their peak memory and the multiply-adds that
torch counts in a step.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.utils.flop_counter import FlopCounterMode

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents import Target, TrainingSpec
from app.domain.methods import DistillationSpec, DistillationTerms, MethodSpec
from app.domain.tasks import Head
from benchmarks.harness import Benchmark, Goal, Row, Value, median, print_table, ratio
from benchmarks.methods.entry import KD, TEACHER_TRAINING
from benchmarks.sets import SETS, read_rows, read_set
from benchmarks.students import (
    WORK,
    compress,
    device,
    fine_tuned_minilm,
    load_minilm,
    minilm_folder,
)
from worker.contracts import Teacher
from worker.evaluation.quality import measure as measure_quality
from worker.networks.loading import build_network

SMALL = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)
TARGET = Target(shape=SMALL)
BATCH_SIZE = 64
LEARNING_RATE = 5e-4

PEERS: dict[str, list[str]] = {
    "TextBrewer": ["textbrewer_kd.py"],
    "Trainer": ["trainer_kd.py"],
    "Trainer, bf16, by length": ["trainer_kd.py", "--bf16", "--group-by-length"],
}
OURS = "squeeze"
AGAIN = "squeeze, teacher's outputs at hand"

STEPS: dict[str, dict[str, Any]] = {
    "scratch": {"name": "scratch"},
    "distillation": {"name": "distillation", "initialisation": "random", "distillation": KD},
    "distillation, hidden states": {
        "name": "distillation",
        "initialisation": "random",
        "distillation": {**KD, "hidden_weight": 1.0},
    },
    "distillation, patient": {
        "name": "distillation",
        "initialisation": "random",
        "distillation": {**KD, "patient_weight": 100.0},
    },
    "distillation, relations": {
        "name": "distillation",
        "initialisation": "random",
        "distillation": {**KD, "relation_weight": 1.0},
    },
    "weight_copy": {"name": "weight_copy"},
    "weight_squeezing": {"name": "weight_squeezing"},
    "weight_distillation": {"name": "weight_distillation", "generator_ratio": 1.0, "distillation": None},
    "weight_inherited": {"name": "weight_inherited"},
}
TIMED_STEPS = 40


def _share(rows: Sequence[Row], peer: str) -> float | None:
    return ratio(
        median(rows, "wall_s", part="peers", variant=OURS), median(rows, "wall_s", part="peers", variant=peer)
    )


def _lead(rows: Sequence[Row]) -> float | None:
    """Points of dev accuracy over the best peer."""
    ours = median(rows, "dev", part="peers", variant=OURS)
    theirs = [median(rows, "dev", part="peers", variant=peer) for peer in PEERS]
    known = [value for value in theirs if value is not None]
    return None if ours is None or len(known) < len(theirs) else ours - max(known)


bench = Benchmark(
    "training",
    keys=("part", "variant", "round"),
    goals=[
        Goal("a quarter of TextBrewer's wall-clock", partial(_share, peer="TextBrewer"), at_most=0.25),
        Goal("a quarter of a Trainer's as it comes", partial(_share, peer="Trainer"), at_most=0.25),
        Goal(
            "half of a Trainer's with bf16 and batches of like length",
            partial(_share, peer="Trainer, bf16, by length"),
            at_most=0.5,
        ),
        Goal("at the dev accuracy of the best peer, or at most one point below", _lead, at_least=-1.0),
        Goal(
            "a second epoch of distillation costs what plain training does: step over scratch's",
            lambda rows: ratio(
                median(rows, "seconds_per_step", part="steps", variant="distillation"),
                median(rows, "seconds_per_step", part="steps", variant="scratch"),
            ),
            at_most=1.1,
        ),
    ],
)


def measure(options: argparse.Namespace) -> None:
    if options.only in (None, "peers"):
        arguments = _peer_arguments(options)
        for number in range(options.rounds):
            cache = WORK / "training" / "cache"
            shutil.rmtree(cache, ignore_errors=True)
            for variant in (OURS, AGAIN):  # the second finds what the first computed
                bench.run(("peers", variant, number), partial(_in_child, options, "distil", str(cache)))
            for variant, script in PEERS.items():
                bench.run(("peers", variant, number), partial(_peer, script, arguments))
    if options.only in (None, "steps"):
        for number in range(options.rounds):
            for variant in STEPS:
                bench.run(("steps", variant, number), partial(_in_child, options, "steps", variant))
    _print_tables()


def _in_child(options: argparse.Namespace, *what: str) -> dict[str, Value]:
    command = [sys.executable, "-m", "benchmarks.training", "--data", str(options.data)]
    command += ["--rows", str(options.rows), "--epochs", str(options.epochs), "--child", *what]
    return _last_line(command)


def _peer(script: list[str], arguments: list[str]) -> dict[str, Value]:
    folder = Path(__file__).parent / "peers"
    return _last_line([str(_peer_python()), str(folder / script[0]), *script[1:], *arguments])


def _last_line(command: list[str]) -> dict[str, Value]:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    found: dict[str, Value] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peer_python() -> Path:
    """The peers' interpreter; its environment is made when it is first needed."""
    folder = WORK / "peers"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        requirements = Path(__file__).parent / "peers" / "requirements.txt"
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(requirements)], check=True)
    return python


def _peer_arguments(options: argparse.Namespace) -> list[str]:
    """Put what all start from into files."""
    folder = WORK / "training"
    folder.mkdir(parents=True, exist_ok=True)
    teacher = _teacher(options)
    _initial_student(teacher).save_pretrained(folder / "student")
    rows = read_rows(options.data / "sst2" / "train.jsonl.gz")[: options.rows]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dev = read_rows(options.data / "sst2" / "dev.jsonl.gz")
    (folder / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dev))
    given = {
        "teacher": WORK / "teachers" / "sst2",
        "student": folder / "student",
        "tokenizer": minilm_folder(),
        "train": folder / "train.jsonl",
        "dev": folder / "dev.jsonl",
        "epochs": options.epochs,
        "batch-size": BATCH_SIZE,
        "learning-rate": LEARNING_RATE,
        "temperature": KD["temperature"],
        "logits-weight": KD["logits_weight"],
    }
    return [part for name, value in given.items() for part in (f"--{name}", str(value))]


def _teacher(options: argparse.Namespace) -> Teacher:
    bare = load_minilm("text_classification", ["0", "1"], seed=0)
    data = read_set("sst2", options.data, bare)
    training = TrainingSpec(**TEACHER_TRAINING["sst2"], metric="accuracy", max_length=SETS["sst2"].max_length)
    return fine_tuned_minilm(WORK / "teachers" / "sst2", data, training)[0]


def _initial_student(teacher: Teacher) -> Any:
    torch.manual_seed(0)
    assert isinstance(teacher.architecture, EncoderArchitecture)
    head = Head(task="text_classification", outputs=2)
    return build_network(teacher.network.config, teacher.architecture.at(SMALL), head)


def _distil(options: argparse.Namespace, cache: str) -> dict[str, Value]:
    """What the peers do, as a job's worker does it, timed from texts on."""
    teacher = _teacher(options)
    began = time.perf_counter()
    data = read_set("sst2", options.data, teacher, rows=options.rows)
    training = TrainingSpec(
        epochs=options.epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        max_length=SETS["sst2"].max_length,
        evaluations=1,
    )
    spec = DistillationSpec(
        name="distillation", initialisation="random", distillation=DistillationTerms(**KD)
    )
    student = compress(teacher, data, spec, training, target=TARGET, cache_dir=Path(cache))
    wall_s = time.perf_counter() - began
    found = measure_quality(student.network.to(device()), data.dev, data, device=device())
    return {"wall_s": wall_s, "dev": 100 * found["accuracy"]}


def _steps(options: argparse.Namespace, variant: str) -> dict[str, Value]:
    """A few steps of a method, then the multiply-adds of one."""
    teacher = _teacher(options)
    data = read_set("sst2", options.data, teacher, rows=TIMED_STEPS * BATCH_SIZE)
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python(STEPS[variant])

    def run(rows: int) -> Any:
        training = TrainingSpec(
            epochs=rows / len(data.train), batch_size=BATCH_SIZE, evaluations=1, max_length=64
        )
        return compress(teacher, data, spec, training, target=_target(spec))

    seconds = run(len(data.train)).metrics["seconds_per_step"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = []
    for steps in (1, 2):
        with FlopCounterMode(display=False) as counter:
            run(steps * BATCH_SIZE)
        counts.append(counter.get_total_flops())
    return {
        "seconds_per_step": seconds,
        "peak_memory_mb": peak / 1e3,
        "multiply_adds": (counts[1] - counts[0]) / 2,
    }


def _target(spec: MethodSpec) -> Target:
    """The small shape; of WID, which keeps the depth, the widths of it."""
    if spec.name == "weight_inherited":
        return Target(shape=SMALL.model_copy(update={"layers": 6}))
    return TARGET


def _print_tables() -> None:
    print_table(
        [
            {
                "distillation": variant,
                "wall-clock s": median(bench.rows, "wall_s", part="peers", variant=variant),
                "dev accuracy": median(bench.rows, "dev", part="peers", variant=variant),
                "squeeze / it": _share(bench.rows, variant),
            }
            for variant in (OURS, AGAIN, *PEERS)
        ]
    )
    print()
    plain = {
        column: median(bench.rows, column, part="steps", variant="scratch")
        for column in ("seconds_per_step", "multiply_adds", "peak_memory_mb")
    }
    print_table(
        [
            {"a step of": variant}
            | {
                f"{column} / scratch": ratio(
                    median(bench.rows, column, part="steps", variant=variant), plain[column]
                )
                for column in plain
            }
            for variant in STEPS
        ]
    )


CHILDREN = {"distil": _distil, "steps": _steps}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=12_800, help="phrases of SST-2 for the distillation")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["peers", "steps"])
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args()
    if options.child is not None:
        print(json.dumps(CHILDREN[options.child[0]](options, *options.child[1:])))
        return 0
    return bench.main(measure, parser, selects=["only", "rounds", "child"])


if __name__ == "__main__":
    sys.exit(main())
