import os
import signal
from pathlib import Path

import pytest
import torch

from app.domain.documents import TrainingSpec
from app.domain.documents.events import Metrics, Progress
from app.domain.errors import JobCancelled
from tests.worker.compression import encoder_card
from worker.job.checkpoint import Checkpoints
from worker.job.context import Cancellation, JobContext, StageTimer
from worker.runner.protocol import Alive, CheckpointWritten, ChildEvent, StageStarted
from worker.runner.reporter import Reporter


class Recorder:
    """Keeps what is sent, and turns the clock of what sends it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[ChildEvent] = []
        self.now = 1000.0
        monkeypatch.setattr("worker.job.context.time.monotonic", lambda: self.now)

    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]

    def metrics(self) -> list[Metrics]:
        return [event for event in self.events if isinstance(event, Metrics)]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


@pytest.fixture
def reporter(recorder: Recorder) -> Reporter:
    return Reporter(recorder.events.append)


def make_context(
    tmp_path: Path, reporter: Reporter, *, cancellation: Cancellation | None = None
) -> JobContext:
    return JobContext(
        device=torch.device("cpu"),
        training=TrainingSpec(),
        architecture=encoder_card(),
        cache_dir=tmp_path / "cache",
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        checkpoint_interval_s=30,
        reporter=reporter,
        cancellation=cancellation or Cancellation(),
        load_model=lambda role: pytest.fail(f"nobody asked for {role}"),
    )


class TestProgress:
    def test_many_steps_a_second_become_a_few_events(self, recorder: Recorder, reporter: Reporter) -> None:
        for step in range(1, 1001):
            recorder.now += 0.01
            reporter.progress("training", step, 1000)
        assert 20 <= len(recorder.progress()) <= 50
        assert recorder.progress()[-1].step == 1000


class TestAlive:
    def test_of_many_batches_one_a_second_is_told(self, recorder: Recorder, reporter: Reporter) -> None:
        for _ in range(100):
            reporter.alive()
            recorder.now += 0.1
        assert recorder.events == [Alive()] * 10

    def test_stages_are_numbered_in_their_order(self, recorder: Recorder, reporter: Reporter) -> None:
        timer = StageTimer(reporter, Cancellation())
        for stage in ("fetching", "loading"):
            with timer(stage):
                reporter.progress(stage, 1, 1)
        numbers = [event.number for event in recorder.events if isinstance(event, StageStarted)]
        assert numbers == [1, 2]


class TestMetrics:
    def test_only_the_newest_of_a_second_is_sent(self, recorder: Recorder, reporter: Reporter) -> None:
        for step in range(100):
            reporter.metrics("training", step, {"loss": 1 / (step + 1)})
            recorder.now += 0.1
        assert [event.step for event in recorder.metrics()] == pytest.approx(range(0, 100, 10), abs=1)

    def test_rare_values_are_not_lost_among_frequent_ones(
        self, recorder: Recorder, reporter: Reporter
    ) -> None:
        reporter.metrics("training", 1, {"loss": 1.0})
        reporter.metrics("training", 1, {"dev_quality": 0.5})
        assert [event.values for event in recorder.metrics()] == [{"loss": 1.0}, {"dev_quality": 0.5}]

    def test_what_was_held_back_comes_at_the_end_of_the_stage(
        self, recorder: Recorder, reporter: Reporter
    ) -> None:
        with StageTimer(reporter, Cancellation())("training"):
            reporter.metrics("training", 1, {"loss": 1.0})
            reporter.metrics("training", 2, {"loss": 0.5})
        assert [event.step for event in recorder.metrics()] == [1, 2]


class TestCancellation:
    def test_sigterm_is_heard_at_the_next_question(self, tmp_path: Path, reporter: Reporter) -> None:
        before = signal.getsignal(signal.SIGTERM)
        cancellation = Cancellation()
        cancellation.listen()
        try:
            cancellation.check()
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(JobCancelled):
                cancellation.check()
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_a_job_that_is_to_go_on_elsewhere_saves_its_step_first(
        self, tmp_path: Path, reporter: Reporter
    ) -> None:
        before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
        cancellation = Cancellation()
        cancellation.listen()
        context = make_context(tmp_path, reporter, cancellation=cancellation)
        try:
            assert not context.checkpoint_due()
            os.kill(os.getpid(), signal.SIGUSR1)
            cancellation.check_within_step()
            assert context.checkpoint_due()
            with pytest.raises(JobCancelled):
                context.check_cancelled()
        finally:
            for number, handler in zip((signal.SIGUSR1, signal.SIGTERM), before, strict=True):
                signal.signal(number, handler)

    def test_no_stage_begins_after_it(self, recorder: Recorder, reporter: Reporter) -> None:
        cancellation = Cancellation()
        cancellation.request()
        with pytest.raises(JobCancelled), StageTimer(reporter, cancellation)("loading"):
            pytest.fail("the stage began")
        assert recorder.events == []


class TestJobContext:
    def test_a_checkpoint_is_due_after_the_interval(
        self, tmp_path: Path, recorder: Recorder, reporter: Reporter
    ) -> None:
        context = make_context(tmp_path, reporter)
        assert not context.checkpoint_due()
        recorder.now += 31
        assert context.checkpoint_due()
        context.save_checkpoint({"progress": 1}, step=7)
        assert not context.checkpoint_due()
        assert context.load_checkpoint() == {"progress": 1}
        assert recorder.events == [CheckpointWritten(step=7)]

    def test_a_report_is_progress_and_what_was_measured(
        self, tmp_path: Path, recorder: Recorder, reporter: Reporter
    ) -> None:
        context = make_context(tmp_path, reporter)
        context.report("training", 1, 10)
        context.report("training", 2, 10, loss=0.5)
        assert [event.step for event in recorder.progress()] == [1]
        assert recorder.metrics() == [Metrics(stage="training", step=2, values={"loss": 0.5})]
