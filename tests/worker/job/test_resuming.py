"""A job that was stopped, killed or cancelled goes on to the same weights, or ends."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.documents.events import Metrics, Progress
from tests.processes import wait_until
from tests.worker.job.test_pipeline import QUICK, SMALL, student_weights
from tests.worker.requests import (
    Shelf,
    prepare,
    run_here,
    run_pipeline,
    running_pipeline,
)
from worker.job import pipeline
from worker.job.context import Cancellation
from worker.runner.launch import ForkServer
from worker.runner.protocol import (
    CHECKPOINTS,
    Cancelled,
    ChildEvent,
    DatasetRef,
    JobRequest,
    ModelRef,
    checkpointed_steps,
)
from worker.runner.reporter import Reporter


class TestInterruption:
    def test_sigterm_ends_training_at_the_next_step(
        self, fork_server: ForkServer, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(encoder, dataset, "fine_tuning", training=QUICK | {"epochs": 1000})
        with running_pipeline(fork_server, request, tmp_path) as pipeline:
            events = pipeline.events()
            assert any(event.step > 0 for event in progress_of(events))
            pipeline.send(signal.SIGTERM)
            for _ in events:
                pass
            assert isinstance(pipeline.outcome(), Cancelled)
            assert pipeline.wait() == 0
        assert shelf.storage.keys(request.output_prefix) == []

    @pytest.mark.parametrize("stage", ["evaluating_teacher", "evaluating"])
    def test_an_evaluation_ends_at_its_next_batch(
        self, stage: str, shelf: Shelf, teacher: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(teacher, dataset, "scratch", target=SMALL, training={"epochs": 0.1})
        cancellation, stages = Cancellation(), []

        def send(event: ChildEvent) -> None:
            if isinstance(event, Progress):
                stages.append(event.stage)
                if event.stage == stage:
                    cancellation.request()

        prepare(request, tmp_path)
        outcome = pipeline.run(request, tmp_path, reporter=Reporter(send), cancellation=cancellation)
        assert isinstance(outcome, Cancelled)
        assert stages[-1] == stage

    def test_a_killed_attempt_resumes_to_the_weights_of_an_undisturbed_one(
        self, fork_server: ForkServer, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        def request(attempt: int) -> JobRequest:
            return shelf.request(
                encoder,
                dataset,
                "fine_tuning",
                training=QUICK | {"epochs": 12},
                exports=["fp32"],
                attempt=attempt,
                checkpoint_interval_s=0.05,
            )

        undisturbed, _ = run_here(request(1), tmp_path / "undisturbed")

        workdir = tmp_path / "killed"
        with running_pipeline(fork_server, request(1), workdir) as pipeline:
            # Not when it reports so: on a quick machine that may be at its end.
            wait_until(lambda: checkpointed_step(workdir) > 10, timeout_s=60)
            pipeline.send(signal.SIGKILL)
            assert pipeline.outcome() is None
        assert checkpointed_step(workdir) < 96, "the training was over before it could be killed"

        resumed, events = run_pipeline(fork_server, request(2), workdir)
        losses = [event.step for event in events if isinstance(event, Metrics) and "loss" in event.values]
        assert losses[0] > 10, "the second attempt began from the start"
        assert student_weights(resumed) == student_weights(undisturbed)

    @pytest.mark.parametrize("method", ["weight_squeezing", "distillation"])
    @pytest.mark.parametrize(("stop", "next_loss"), [(10, 20), (27, 30)])
    def test_a_method_resumes_wherever_it_was_stopped(
        self,
        method: str,
        stop: int,
        next_loss: int,
        shelf: Shelf,
        teacher: ModelRef,
        dataset: DatasetRef,
        tmp_path: Path,
    ) -> None:
        """Of 32 steps, so that squeezing is stopped in both of its phases."""
        request = shelf.request(
            teacher,
            dataset,
            method,
            target=SMALL,
            training=QUICK | {"epochs": 4},
            exports=["fp32"],
            checkpoint_interval_s=0,
        )
        undisturbed, _ = run_here(request, tmp_path / "undisturbed")
        workdir = tmp_path / "stopped"
        cancellation = CancelAtStep(stop, workdir)
        stopped, _ = run_here(request, workdir, cancellation=cancellation)
        assert isinstance(stopped, Cancelled)
        resumed, events = run_here(request, workdir)
        losses = [event.step for event in events if isinstance(event, Metrics) and "loss" in event.values]
        assert losses[0] == next_loss
        assert student_weights(resumed) == student_weights(undisturbed)

    def test_the_child_dies_with_its_supervisor(
        self, fork_server: ForkServer, shelf: Shelf, encoder: ModelRef, dataset: DatasetRef, tmp_path: Path
    ) -> None:
        request = shelf.request(encoder, dataset, "fine_tuning", training={"epochs": 1000})
        with running_pipeline(fork_server, request, tmp_path) as pipeline:
            next(iter(pipeline.events()))
            pipeline.abandon()
            assert pipeline.wait() == -signal.SIGKILL


class CancelAtStep(Cancellation):
    """A client that asks to stop once a checkpoint of a step has been written."""

    def __init__(self, step: int, workdir: Path) -> None:
        super().__init__()
        self._step = step
        self._workdir = workdir

    def check(self) -> None:
        if checkpointed_step(self._workdir) >= self._step:
            self.request()
        super().check()


def checkpointed_step(workdir: Path) -> int:
    return max(checkpointed_steps(workdir / CHECKPOINTS), default=0)


def progress_of(events: Iterator[object]) -> Iterator[Progress]:
    return (event for event in events if isinstance(event, Progress))
