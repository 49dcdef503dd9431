"""Requests for the pipeline, over a real store with tiny models and data in it."""

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from app.core.ids import new_id
from app.core.storage import Storage
from app.domain.documents import JobSpec
from app.domain.documents.events import Message, Metrics, Progress
from app.domain.documents.manifest import DatasetManifest, ModelManifest, Split
from app.domain.errors import SqueezeError
from app.domain.tasks import Task
from app.intake.datasets.columns import Columns
from app.intake.datasets.given import Table
from app.intake.datasets.tables import prepare as prepare_dataset
from app.intake.models.folder import prepare as prepare_model
from tests.tiny import tiny_dataset_files
from worker.job.context import Cancellation
from worker.job.pipeline import run
from worker.runner.inputs import fetch_inputs
from worker.runner.launch import Launcher
from worker.runner.machine_failures import failed_transfer
from worker.runner.outputs import store_outputs
from worker.runner.protocol import (
    CHILD_EVENT,
    Cancelled,
    DatasetRef,
    Failed,
    JobRequest,
    ModelRef,
    Succeeded,
    read_outcome,
    write_request,
)
from worker.runner.reporter import Reporter

Event = Progress | Metrics | Message


def storage_of(request: JobRequest) -> Storage:
    """Of the shelf that a request is from."""
    return Shelf(request.cache_dir.parent).storage


def prepare(request: JobRequest, workdir: Path, storage: Storage | None = None) -> None:
    """Make the work folder as a supervisor does."""
    workdir.mkdir(exist_ok=True)
    write_request(workdir, request)
    fetch_inputs(request, workdir, storage or storage_of(request), check=lambda: None)


def store(
    outcome: Succeeded | Failed | Cancelled,
    request: JobRequest,
    workdir: Path,
    storage: Storage | None = None,
) -> Succeeded | Failed | Cancelled:
    """Store a student as a supervisor does."""
    if not isinstance(outcome, Succeeded):
        return outcome
    return store_outputs(outcome, request, workdir, storage or storage_of(request), check=lambda: None)


class Shelf:
    """A folder store with models and data sets that requests can name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"file://{root / 'files'}"
        self.storage = Storage.from_url(self.url)

    def add_model(self, folder: Path) -> ModelRef:
        """Register a Hugging Face folder, which is used up."""
        id_ = new_id("mdl")
        target = self.root / id_
        target.mkdir()
        manifest = prepare_model(folder, target)
        files = self.storage.put_folder(f"models/{id_}", target)
        return ModelRef(id=id_, manifest=manifest.model_copy(update={"files": files}))

    def add_dataset(self, *, train: int = 256, dev: int = 64, test: int = 64) -> DatasetRef:
        source = Path(tempfile.mkdtemp(dir=self.root))
        return self.add_files(
            tiny_dataset_files(source, train=train, dev=dev, test=test), task="text_classification"
        )

    def add_files(
        self, paths: Mapping[Split, Path], *, task: Task, labels: list[str] | None = None
    ) -> DatasetRef:
        """Register a data set."""
        id_ = new_id("dst")
        target = self.root / id_
        target.mkdir()
        with ExitStack() as stack:
            prepared = prepare_dataset(
                {
                    split: Table(stack.enter_context(path.open("rb")), path.name)
                    for split, path in paths.items()
                },
                target,
                task=task,
                columns=Columns(),
                labels=labels,
                max_rows=10_000,
                max_bytes=10**7,
            )
        manifest = DatasetManifest(
            files=self.storage.put_folder(f"datasets/{id_}", target),
            task=task,
            **vars(prepared),
        )
        return DatasetRef(id=id_, manifest=manifest)

    def request(
        self,
        teacher: ModelRef | None,
        dataset: DatasetRef,
        method: str | dict[str, Any],
        *,
        target: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        exports: Sequence[str] = ("fp32", "int8"),
        teacher_weights: dict[str, float] | None = None,
        asked: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> JobRequest:
        """For a job; ``asked`` is what else its body has, and ``changes`` are of the request."""
        job_id = new_id("job")
        spec = JobSpec.model_validate(
            {
                "teacher": None if teacher is None else teacher.id,
                "dataset": dataset.id,
                "method": {"name": method} if isinstance(method, str) else method,
                "teacher_weights": teacher_weights,
                "target": target,
                "training": {"epochs": 3, "batch_size": 32, "max_length": 32, "evaluations": 2}
                | (training or {}),
                "exports": list(exports),
                **(asked or {}),
            }
        )
        values = {
            "job_id": job_id,
            "attempt": 1,
            "spec": spec,
            "student_id": new_id("mdl"),
            "inputs": {} if teacher is None else {"teacher": teacher},
            "dataset": dataset,
            "cache_dir": self.root / "cache",
            "onnx_tolerance": 1e-4,
            "int8_min_agreement": 0.5,
            "output_prefix": f"models/{job_id}-1",
            "checkpoint_prefix": f"checkpoints/{job_id}-1",
        }
        return JobRequest(**(values | changes))


class RunningPipeline:
    """The real process of an attempt, its events read as they come."""

    def __init__(self, launch: Launcher, request: JobRequest, workdir: Path) -> None:
        prepare(request, workdir)
        self._workdir = workdir
        self._request = request
        request.cache_dir.mkdir(exist_ok=True)
        arguments = [str(workdir), str(workdir), str(request.cache_dir)]
        stdin, self._lease_fd = os.pipe()
        self._events_fd, stdout = os.pipe()
        with (workdir / "stderr").open("w") as log:
            self._process = launch(arguments, stdin=stdin, stdout=stdout, stderr=log.fileno())
        os.close(stdin)
        os.close(stdout)
        self._status: int | None = None

    def events(self) -> Iterator[Event]:
        """Each event when it is sent, until the process closes its end."""
        with os.fdopen(os.dup(self._events_fd)) as lines:
            for line in lines:
                yield CHILD_EVENT.validate_json(line)

    def send(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def abandon(self) -> None:
        """As if its supervisor were gone."""
        os.close(self._lease_fd)
        self._lease_fd = -1

    def wait(self) -> int:
        """Its exit status."""
        if self._status is None:
            self._status, _ = self._process.wait()
        return self._status

    def outcome(self) -> Succeeded | Failed | Cancelled | None:
        self.wait()
        outcome = read_outcome(self._workdir, self._request)
        return None if outcome is None else store(outcome, self._request, self._workdir)

    @property
    def stderr(self) -> str:
        return (self._workdir / "stderr").read_text()

    def close(self) -> None:
        if self._status is None:
            self.send(signal.SIGKILL)
            self.wait()
        if self._lease_fd >= 0:
            os.close(self._lease_fd)
        os.close(self._events_fd)


@contextmanager
def running_pipeline(launch: Launcher, request: JobRequest, workdir: Path) -> Iterator[RunningPipeline]:
    pipeline = RunningPipeline(launch, request, workdir)
    try:
        yield pipeline
    finally:
        pipeline.close()


def run_pipeline(
    launch: Launcher, request: JobRequest, workdir: Path
) -> tuple[Succeeded | Failed | Cancelled, list[Event]]:
    """Run to the end; what came of it and what was reported."""
    with running_pipeline(launch, request, workdir) as pipeline:
        events = list(pipeline.events())
        outcome = pipeline.outcome()
        print(pipeline.stderr)  # shown where a test fails
        assert pipeline.wait() == 0
        assert outcome is not None
        return outcome, events


def run_here(
    request: JobRequest,
    workdir: Path,
    *,
    storage: Storage | None = None,
    cancellation: Cancellation | None = None,
) -> tuple[Succeeded | Failed | Cancelled, list[Event]]:
    """The same without a process of its own, which saves the time to start one."""
    events: list[Event] = []
    try:
        prepare(request, workdir, storage)
    except SqueezeError as error:
        return failed_transfer(error), events
    outcome = run(
        request,
        workdir,
        reporter=Reporter(events.append),
        cancellation=cancellation or Cancellation(),
    )
    return store(outcome, request, workdir, storage), events


def fetch_model(shelf: Shelf, manifest: ModelManifest, folder: Path) -> Path:
    """A stored model's files in a local folder."""
    for name in manifest.files.entries:
        shelf.storage.fetch(f"{manifest.files.prefix}/{name}", folder / name)
    return folder
