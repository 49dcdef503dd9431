"""Whether jobs end when they said they would: ``python -m benchmarks.eta --data ../shared/data``.

One small job of each method runs on the service as it is, and what its process told of its stages is kept in
``results/timelines.json``. A row says what the API answers at each tenth of the job's time, by today's code
on that timeline: once by the built-in figures alone, as the first job of an installation is planned ("new"),
and once by what jobs of the other methods took on the machine. ``--replay`` runs no jobs and judges the kept
timelines anew.
"""

import argparse
import gzip
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from pydantic import BaseModel, TypeAdapter

from app.core.settings import Settings
from app.domain.architectures import Architecture, EncoderArchitecture, EncoderShape
from app.domain.documents import TrainingSpec
from app.domain.documents.events import Progress
from app.domain.documents.plan import Estimate
from app.domain.methods import MethodSpec
from app.domain.planning import MeasuredJob, TypicalRow, Workload, estimate
from app.domain.planning.measured import measured_ratios
from app.domain.tasks import Head
from app.embedded import run_service
from benchmarks.harness import RESULTS, Benchmark, Goal, Row, Value, print_table, say
from benchmarks.sets import read_rows
from benchmarks.students import minilm_folder
from worker.runner.timetable import Timetable

TIMELINES = RESULTS / "timelines.json"
TENTHS: Final = range(1, 10)
WITHIN: Final = 1.5
LONGEST_REST: Final = 10.0
"""Seconds between heartbeats of a replay and, at most, between two positions of the bar."""

MINILM = EncoderArchitecture(
    family="bert",
    shape=EncoderShape(layers=6, hidden=384, heads=12, ffn=1536),
    vocabulary=30_522,
    positions=512,
    token_types=2,
)
_TOKENS = 11.1
"""Of a typical row of SST-2, as it is planned with."""
_TRAIN_OVER_DEV = 3
_SPEC: Final[TypeAdapter[MethodSpec]] = TypeAdapter(MethodSpec)

_STUDENT = {"compression_ratio": 3}
METHODS: Final[dict[str, dict[str, Any]]] = {
    "fine_tuning": {"training": {"epochs": 1.5}},
    "scratch": {"target": _STUDENT, "training": {"epochs": 6}},
    "weight_copy": {"target": _STUDENT, "training": {"epochs": 6, "max_epochs": 12}},
    "weight_selection": {"target": _STUDENT, "training": {"epochs": 6}},
    "distillation": {"target": _STUDENT, "training": {"epochs": 6, "max_epochs": 12}},
    "low_rank": {"target": {"compression_ratio": 1.5}, "training": {"epochs": 2}},
    "weight_squeezing": {"target": _STUDENT, "method": {"distillation": {}}, "training": {"epochs": 6}},
    "weight_inherited": {"target": _STUDENT, "training": {"epochs": 4}},
    "weight_distillation": {"target": _STUDENT, "training": {"epochs": 5}},
    "pea_kd": {"target": {"compression_ratio": 1.5}, "training": {"epochs": 5}},
    "tfidf": {"teacher": None, "target": {"max_parameters": 20_000}},
    "bilstm": {"target": {"compression_ratio": 6}, "training": {"epochs": 6}},
}


class Heard(BaseModel):
    """What a job's process told, when its supervisor wrote it down."""

    at_s: float
    """Since the job began."""
    stage: str
    step: int
    total_steps: int

    @property
    def progress(self) -> Progress:
        return Progress(stage=self.stage, step=self.step, total_steps=self.total_steps)


class Timeline(BaseModel):
    """A job that has run."""

    student: Architecture
    rows: int
    """Of train."""
    heard: list[Heard]
    total_s: float


class Told(BaseModel):
    """What the API says of a running job."""

    at_s: float
    fraction: float
    eta_s: float


def workload(name: str, timeline: Timeline) -> Workload:
    """A job as the API planned it."""
    wanted = METHODS[name]
    spec = _SPEC.validate_python({"name": name, **wanted.get("method", {})})
    rows = timeline.rows
    return Workload(
        student=timeline.student,
        method=spec,
        head=Head(task="text_classification", outputs=2),
        rows=rows,
        row=TypicalRow(tokens=_TOKENS),
        training=TrainingSpec(**wanted.get("training", {"epochs": 1})),
        teacher=MINILM if spec.card.needs_head and "teacher" not in wanted else None,
        given=MINILM if "teacher" not in wanted else None,
        unlabeled=rows if name == "bilstm" else 0,
        dev=rows // _TRAIN_OVER_DEV,
        is_compared=name != "fine_tuning" and "teacher" not in wanted and spec.is_compared,
    )


def taken(name: str, timeline: Timeline) -> MeasuredJob:
    """What a worker keeps of a job that has run."""
    job = workload(name, timeline)
    planned = estimate(job)
    timetable = Timetable(planned, now=0.0)
    for heard in timeline.heard:
        timetable.hear(heard.progress, heard.at_s)
    ratios = measured_ratios(planned.stages, timetable.close(timeline.total_s))
    return MeasuredJob(name, job.step_products, ratios)


def replay(planned: Estimate, timeline: Timeline, *, heartbeat_s: float = 0.5) -> Iterator[Told]:
    """What the API would have said of a job, heartbeat by heartbeat."""
    timetable = Timetable(planned, now=0.0)
    heard = iter([*timeline.heard, None])
    upcoming = next(heard)
    for beat in range(1, int(timeline.total_s / heartbeat_s) + 1):
        now = beat * heartbeat_s
        while upcoming is not None and upcoming.at_s <= now:
            timetable.hear(upcoming.progress, upcoming.at_s)
            upcoming = next(heard)
        fraction, eta_s = timetable.progress(now)
        yield Told(at_s=now, fraction=fraction, eta_s=eta_s)


def judge(name: str, timelines: Mapping[str, Timeline]) -> dict[str, float]:
    """By tenth: the promised end over the real one, and the promised rest over the real rest."""
    timeline = timelines[name]
    total, job = timeline.total_s, workload(name, timeline)
    others = [taken(other, kept) for other, kept in timelines.items() if other != name]
    found = {"total_s": total}
    for kind, planned in (("new_", estimate(job)), ("", estimate(job, measured=others))):
        told = list(replay(planned, timeline))
        found[f"{kind}planned_s"] = planned.seconds
        for tenth in TENTHS:
            then = min(told, key=lambda said: abs(said.at_s - total * tenth / 10))
            found[f"{kind}end_{tenth}"] = (then.at_s + then.eta_s) / total
            found[f"{kind}rest_{tenth}"] = then.eta_s / (total - then.at_s)
        found[f"{kind}longest_rest_s"] = longest_rest(told)
    return found


def longest_rest(told: Sequence[Told]) -> float:
    """Seconds for which the bar stands still, at most; a step of it is a thousandth of its length."""
    longest = moved_at = shown = 0.0
    for said in told:
        if said.fraction - shown >= 1e-3:
            longest, moved_at, shown = max(longest, said.at_s - moved_at), said.at_s, said.fraction
    return max(longest, told[-1].at_s - moved_at)


def error(ratio: float) -> float:
    """How many times too long or too short."""
    return max(ratio, 1 / ratio) if ratio > 0 else float("inf")


def _worst(column: str, tenths: Sequence[int], *, least_s: float = 0.0) -> Any:
    def reached(rows: Sequence[Row]) -> float | None:
        if len(rows) < len(METHODS):
            return None
        long = [row for row in rows if float(row["total_s"] or 0) >= least_s]
        return max(error(float(row[f"{column}_{tenth}"] or 0)) for row in long for tenth in tenths)

    return reached


def _longest(rows: Sequence[Row]) -> float | None:
    return max(float(row["longest_rest_s"] or 0) for row in rows) if len(rows) == len(METHODS) else None


bench = Benchmark(
    "eta",
    keys=("method",),
    goals=[
        Goal(
            "the end of a job of every method is foretold within 1.5 times, from a tenth of it on",
            _worst("end", TENTHS),
            at_most=WITHIN,
        ),
        Goal(
            "... and the time left, of a job of a minute or more until half of it is over",
            _worst("rest", range(1, 6), least_s=60),
            at_most=WITHIN,
        ),
        Goal(
            "... and the end of the first job of an installation, from half of it on",
            _worst("new_end", range(5, 10)),
            at_most=WITHIN,
        ),
        Goal("no bar stands still for longer, in seconds", _longest, at_most=LONGEST_REST),
    ],
)


def measure(options: argparse.Namespace) -> None:
    timelines = read_timelines()
    wanted = [name for name in METHODS if options.only in (None, name)]
    if not options.replay:
        missing = [name for name in wanted if name not in timelines or options.fresh]
        for name, timeline in _record(missing, options):
            timelines[name] = timeline
            _write(timelines)
    for name in wanted:
        bench.run((name,), lambda name=name: _rounded(judge(name, timelines)))  # type: ignore[misc]
    print_table([{key: row[key] for key in _shown()} for row in bench.rows])


def read_timelines() -> dict[str, Timeline]:
    if not TIMELINES.exists():
        return {}
    return {name: Timeline.model_validate(kept) for name, kept in json.loads(TIMELINES.read_text()).items()}


def _write(timelines: Mapping[str, Timeline]) -> None:
    lines = [f"{json.dumps(name)}: {timeline.model_dump_json()}" for name, timeline in timelines.items()]
    TIMELINES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _rounded(found: Mapping[str, float]) -> dict[str, Value]:
    return {name: round(value, 3) for name, value in found.items()}


def _shown() -> list[str]:
    return [
        "method",
        "total_s",
        "planned_s",
        *(f"end_{tenth}" for tenth in (1, 3, 5, 7, 9)),
        "rest_1",
        "rest_5",
    ]


def _record(methods: Sequence[str], options: argparse.Namespace) -> Iterator[tuple[str, Timeline]]:
    """Run a job of each method, after one that makes their teacher."""
    if not methods:
        return
    with _service() as http:
        model = _posted(http, "/models", data={"name": "minilm"}, files={"file": ("m.zip", _minilm())})
        data, more = (_data_set(http, options, unlabeled=unlabeled) for unlabeled in (0, options.rows))
        teacher = model["id"]
        needs_teacher = any("teacher" not in METHODS[name] for name in methods)
        first = ["fine_tuning"] if needs_teacher else []
        for name in [*first, *(name for name in methods if name not in first)]:
            wanted = METHODS[name]
            body = {
                "teacher": model["id"] if name == "fine_tuning" else teacher,
                "dataset": (more if name == "bilstm" else data)["id"],
                **wanted,
                "method": {"name": name, **wanted.get("method", {})},
            }
            timeline, job = _run(http, body, rows=options.rows)
            say(f"{name}: {timeline.total_s:.1f} s")
            if name == "fine_tuning":
                teacher = job["student"]
            if name in methods:
                yield name, timeline


def _run(http: httpx.Client, body: Mapping[str, Any], *, rows: int) -> tuple[Timeline, dict[str, Any]]:
    student = _posted(http, "/plans", json=body)["student"]["architecture"]
    job = _posted(http, "/jobs", json=body)
    began, heard = None, list[Heard]()
    while job["status"] in ("queued", "running"):
        time.sleep(0.1)
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
        now, progress = time.monotonic(), job["progress"]
        if began is None and job["status"] != "queued":
            began = now
        if began is None or progress["stage"] is None:
            continue
        said = Heard(
            at_s=round(now - began, 2), **{key: progress[key] for key in ("stage", "step", "total_steps")}
        )
        if not heard or heard[-1].model_dump(exclude={"at_s"}) != said.model_dump(exclude={"at_s"}):
            heard.append(said)
    if job["status"] != "succeeded" or began is None:
        raise SystemExit(f"{body['method']}: {job['error']}")
    total_s = round(time.monotonic() - began, 2)
    return Timeline(student=student, rows=rows, heard=heard, total_s=total_s), job


@contextmanager
def _service() -> Iterator[httpx.Client]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder) / "data", port=0, heartbeat=timedelta(seconds=0.5))
        with run_service(settings, log_dir=Path(folder)) as service:
            service.wait_until_ready()
            with httpx.Client(base_url=f"{service.url}/v1", timeout=300) as http:
                yield http


def _posted(http: httpx.Client, path: str, **content: Any) -> dict[str, Any]:
    response = http.post(path, **content)
    if not response.is_success:
        raise SystemExit(f"POST {path}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def _minilm() -> bytes:
    folder, content = minilm_folder(), io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".onnx":
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def _data_set(http: httpx.Client, options: argparse.Namespace, *, unlabeled: int) -> dict[str, Any]:
    rows = {name: read_rows(options.data / "sst2" / f"{name}.jsonl.gz") for name in ("train", "dev")}
    splits = {"train": rows["train"][: options.rows], "dev": rows["dev"][: options.rows // _TRAIN_OVER_DEV]}
    if unlabeled:
        sentences = read_rows(options.data / "transfer_movie_sentences" / "train.jsonl.gz")
        splits["unlabeled"] = [{"text": row["text"]} for row in sentences[:unlabeled]]
    files = {
        name: (f"{name}.jsonl.gz", gzip.compress("".join(json.dumps(row) + "\n" for row in split).encode()))
        for name, split in splits.items()
    }
    return _posted(http, "/datasets", data={"name": "sst2"}, files=files)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of all sets")
    parser.add_argument("--rows", type=int, default=640, help="of train")
    parser.add_argument("--only", choices=METHODS, help="one method")
    parser.add_argument("--replay", action="store_true", help="judge the kept timelines, run no jobs")
    sys.exit(bench.main(measure, parser, selects=("only", "replay")))
