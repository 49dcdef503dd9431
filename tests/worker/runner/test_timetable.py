"""How far a job is, and how long it will take."""

from itertools import pairwise

import pytest

from app.domain.documents.events import Progress
from app.domain.documents.plan import Estimate, StageEstimate
from app.domain.planning.stages import PREPARING, STORING, TRAINING
from worker.runner.timetable import Timetable

PLANNED = {"fetching": 1.0, "loading": 2.0, PREPARING: 10.0, TRAINING: 80.0, "exporting": 6.0, STORING: 1.0}


def planned(
    training: tuple[tuple[int, float], ...] = ((100, 80.0),), *, most: float = 1.0, **seconds: float
) -> Estimate:
    """Training in stretches of so many steps that take so many seconds."""
    stages = []
    chosen = dict(list(PLANNED.items())[:3]) | seconds | PLANNED
    for name, taken in chosen.items():
        parts = training if name == TRAINING else ((0, taken),)
        stages += [
            StageEstimate(stage=name, seconds=s, built_in_seconds=s, steps=steps) for steps, s in parts
        ]
    steps = sum(steps for steps, _ in training)
    return Estimate(
        steps=steps,
        max_steps=round(most * steps),
        seconds=sum(stage.seconds for stage in stages),
        peak_memory_mb=1,
        assumed_gflops=1,
        stages=stages,
    )


class Job:
    """A job that takes what it takes; each second is asked for."""

    def __init__(self, estimate: Estimate | None) -> None:
        self.now = 0.0
        self.timetable = Timetable(estimate, now=0.0)
        self.told: list[tuple[float, float, float]] = []
        """When, the fraction and the time left."""

    def hear(self, stage: str, step: int = 0, total_steps: int = 1) -> None:
        self.timetable.hear(Progress(stage=stage, step=step, total_steps=total_steps), self.now)

    def work(self, seconds: float, *, every: float = 1.0) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + every)
            self.told.append((self.now, *self.timetable.progress(self.now)))

    def train(self, steps: int, seconds_per_step: float, *, total: int | None = None, first: int = 0) -> None:
        for step in range(first, steps):
            self.hear("squeezing", step, total or steps)
            self.work(seconds_per_step)
        self.hear("squeezing", steps, total or steps)

    def run(self, slower: float = 1.0, **other: float) -> None:
        """All stages of the plan, each so many times slower, training within ``other`` times that."""
        for stage, seconds in PLANNED.items():
            if stage == TRAINING:
                self.hear(TRAINING)
                self.train(100, other.get(stage, slower) * seconds / 100)
            else:
                self.hear(TRAINING if stage == PREPARING else stage)
                self.work(other.get(stage, slower) * seconds)

    def errors(self, after: float = 0.1) -> list[float]:
        """How many times too long or too short the whole was said to take, from a part of it on."""
        ends = [(now + eta) / self.now for now, _, eta in self.told if now >= self.now * after]
        return [max(end, 1 / end) for end in ends]


def test_a_job_that_keeps_to_its_plan_is_known_to_the_second():
    job = Job(planned())
    job.run()
    assert max(job.errors()) == pytest.approx(1, abs=0.03)
    assert all(fraction == pytest.approx(now / 100, abs=0.03) for now, fraction, _ in job.told)


@pytest.mark.parametrize(("slower", "after"), [(0.2, 0.25), (3.0, 0.1), (10.0, 0.1)])
def test_a_machine_of_another_speed_is_noticed(slower: float, after: float):
    job = Job(planned())
    job.run(slower)
    assert max(job.errors(after)) < 1.5


def test_a_training_that_is_slower_than_all_else_is_noticed():
    job = Job(planned())
    job.run(training=4.0)
    settled = [max((now + eta) / job.now, job.now / (now + eta)) for now, _, eta in job.told if now > 40]
    assert max(settled) < 1.5


def test_the_bar_goes_on_at_every_moment_and_never_back():
    job = Job(planned())
    job.run(preparing=8.0, exporting=5.0)
    fractions = [fraction for _, fraction, _ in job.told]
    assert all(later > before for before, later in pairwise(fractions))
    assert fractions[0] < 0.02
    assert 0.95 < fractions[-1] < 1


def test_time_left_is_told_from_the_first_moment():
    job = Job(planned())
    assert job.timetable.progress(0.0)[1] == pytest.approx(100)


def test_steps_that_become_cheaper_are_no_surprise():
    """A network that narrows: half of the steps take nine tenths of the time."""
    job = Job(planned(((50, 72.0), (50, 8.0))))
    job.hear("fetching")
    job.work(1)
    job.hear("loading")
    job.work(2)
    job.hear(TRAINING)
    job.work(10)
    job.train(50, 1.44, total=100)
    job.train(100, 0.16, total=100, first=50)
    job.hear("exporting")
    job.work(6)
    job.hear(STORING)
    job.work(1)
    assert max(job.errors()) < 1.1


def test_what_a_method_does_before_its_first_step_may_come_in_any_order():
    ends = []
    for order in ((PREPARING, "teacher_outputs"), ("teacher_outputs", PREPARING)):
        job = Job(planned(teacher_outputs=20.0))
        for stage in order:
            job.hear(stage, 0, 10)
            job.work({PREPARING: 10, "teacher_outputs": 20}[stage])
        ends.append(job.now + job.told[-1][2])
    assert ends[0] == pytest.approx(ends[1], rel=0.1)


class TestAddedSteps:
    @pytest.mark.parametrize("rounds", [0, 1, 2])
    def test_they_are_half_expected(self, rounds: int):
        job = Job(planned(most=2.0))
        for stage in ("fetching", "loading", TRAINING):
            job.hear(stage)
            job.work(PLANNED[PREPARING if stage == TRAINING else stage])
        job.train(100, 0.8)
        for number in range(rounds):
            total = 150 + 50 * number
            job.train(total, 0.8, total=total, first=total - 50)
        for stage in ("exporting", STORING):
            job.hear(stage)
            job.work(PLANNED[stage])
        assert max(job.errors()) < 1.5

    def test_what_is_kept_for_later_plans_is_the_time_of_the_planned_ones(self):
        job = Job(planned(most=2.0))
        job.train(100, 0.5)
        job.train(150, 0.5, total=150, first=100)
        assert job.timetable.close(job.now)[TRAINING] == pytest.approx(50)


class TestResumedTraining:
    def test_its_own_steps_tell_its_pace(self):
        job = Job(planned())
        job.hear(TRAINING)
        job.work(10)
        job.train(100, 0.8, first=60)
        assert job.timetable.is_resumed
        at, fraction, eta = next(told for told in job.told if told[0] > 12)
        assert eta == pytest.approx(0.8 * (100 - 60) - (at - 10) + 7, rel=0.1)
        assert fraction > 0.5

    def test_one_from_the_beginning_is_none(self):
        job = Job(planned())
        job.run()
        assert not job.timetable.is_resumed


def test_a_job_without_a_plan_has_a_usual_one():
    job = Job(None)
    job.run()
    fractions = [fraction for _, fraction, _ in job.told]
    assert fractions == sorted(fractions)
    assert max(job.errors()[len(job.told) // 3 :]) < 2
