"""How far a job is and how long it will take: its plan, corrected by what its stages have taken so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from app.domain.documents.events import Progress
from app.domain.documents.plan import Estimate, StageEstimate
from app.domain.planning.stages import FETCHING, PREPARING, STARTING, STORING, TEACHER_OUTPUTS, TRAINING

_USUAL_S: Final = {
    FETCHING: 1.0,
    STARTING: 1.0,
    "loading": 1.0,
    "tokenizing": 2.0,
    "planning": 0.5,
    "evaluating_teacher": 4.0,
    PREPARING: 3.0,
    TEACHER_OUTPUTS: 6.0,
    TRAINING: 70.0,
    "evaluating": 2.0,
    "exporting": 3.0,
    "checking": 3.0,
    "measuring": 8.0,
    STORING: 1.0,
}
"""Of a job whose plan is not known."""
_BEFORE_STEPS: Final = (PREPARING, TEACHER_OUTPUTS)
"""In which order, methods differ; they are over when steps are taken."""
_TRUST: Final = 0.05
"""The share of a stage that it takes until its own pace says as much as the plan."""
_DOUBT: Final = 0.1
"""The share of a plan that it takes until the pace of the stages so far says as much as the plan."""
_OVERDUE: Final = 0.25
"""Of what a stage has taken that is beyond its plan and says nothing: it is thought to take so much more."""
_EXTENSION_CHANCE: Final = 0.4
"""That steps are added while quality rises: wrong by as much where none are as where all are."""
_NEARLY_DONE: Final = 0.999


@dataclass(frozen=True)
class _Training:
    """The planned steps, in stretches that differ in cost."""

    ends: Sequence[float]
    """Of the stretches, in steps."""
    seconds: Sequence[float]
    """Up to these."""
    most: float
    """How many times as many steps there may become."""

    @classmethod
    def of(cls, stretches: Sequence[StageEstimate], most: float) -> "_Training":
        steps = [max(1, stretch.steps) for stretch in stretches]
        return cls(
            [0.0, *accumulate(steps)], [0.0, *accumulate(stretch.seconds for stretch in stretches)], most
        )

    def until(self, share: float) -> float:
        """Seconds until a share of the planned steps, which may be above 1 where steps were added."""
        step = share * self.ends[-1]
        for number in range(1, len(self.ends)):
            begin, end = self.ends[number - 1 : number + 1]
            if step <= end or number == len(self.ends) - 1:
                rate = (self.seconds[number] - self.seconds[number - 1]) / (end - begin)
                return self.seconds[number - 1] + rate * (step - begin)
        return 0.0


class Timetable:
    """What a job's stages are to take, and where it is.

    All times are of one clock that the caller reads, in seconds.
    """

    def __init__(self, estimate: Estimate | None, *, now: float) -> None:
        stages = [] if estimate is None else estimate.stages
        if estimate is None or not stages:
            stages = [
                StageEstimate(stage=name, seconds=s, built_in_seconds=s, steps=100 * (name == TRAINING))
                for name, s in _USUAL_S.items()
            ]
        self._planned: dict[str, float] = {}
        for stage in stages:
            self._planned[stage.stage] = self._planned.get(stage.stage, 0.0) + stage.seconds
        most = 1.0 if estimate is None else max(1.0, estimate.max_steps / max(1, estimate.steps))
        self._training = _Training.of([stage for stage in stages if stage.stage == TRAINING], most)
        self._order = list(self._planned)
        self._taken: dict[str, float] = {}
        """Of stages that are over."""
        self._stage = self._order[0]
        self._entered = now
        self._heard = now
        self._share, self._first_share = 0.0, 0.0
        """Of the stage: done, and done before this attempt."""
        self._planned_steps = self._total_steps = 0
        self._fraction = 0.0
        self.is_resumed = False
        """Whether an earlier attempt has done a part of the training."""

    def enter(self, stage: str, now: float) -> None:
        """A stage begins; one that the plan lacks belongs to that before it."""
        if stage not in self._planned or stage == self._stage:
            return
        self._leave(now)
        self._stage, self._entered, self._heard = stage, now, now
        self._share = self._first_share = 0.0

    def hear(self, progress: Progress, now: float) -> None:
        """Take in what a job's process says of its stage."""
        stage = self._stage_of(progress)
        is_new = stage != self._stage
        self.enter(stage, now)
        if stage == TRAINING:
            share = self._share_of_training(progress)
        else:
            share = progress.step / max(1, progress.total_steps)
        if is_new:
            self._first_share = share
            self.is_resumed |= stage == TRAINING and share > 0 and stage not in self._taken
        if share > self._share:
            self._share, self._heard = share, now

    def progress(self, now: float) -> tuple[float, float]:
        """The fraction of the whole job that is done, which never falls, and the seconds it has left."""
        whole, left = self._of_stage(now)
        eta_s = left + sum(self._planned[name] for name in self._ahead()) * self._pace(whole)
        done = sum(self._taken.values()) + (now - self._entered)
        if self._stage not in self._taken:  # an earlier attempt's part counts, too
            done += self._first_share * whole
        reached = min(_NEARLY_DONE, done / max(1e-9, done + eta_s))
        self._fraction = max(self._fraction, reached)
        return self._fraction, eta_s

    def close(self, now: float) -> Mapping[str, float]:
        """The job is over: seconds by stage; of the training as if it had taken the planned steps."""
        self._leave(now)
        taken = dict(self._taken)
        if TRAINING in taken and self._planned_steps:
            planned = self._training.until(1.0)
            taken[TRAINING] *= planned / self._training.until(self._total_steps / self._planned_steps)
        return taken

    def _leave(self, now: float) -> None:
        self._taken[self._stage] = self._taken.get(self._stage, 0.0) + now - self._entered
        self._entered = now

    def _stage_of(self, progress: Progress) -> str:
        """A method's own stages, whatever their names, are its training."""
        name = progress.stage
        if name == TRAINING and (progress.step, progress.total_steps) == (0, 1):
            name = PREPARING  # it begins: the first step is yet to come
            return name if name in self._planned else TRAINING
        return name if name in self._planned else TRAINING

    def _share_of_training(self, progress: Progress) -> float:
        """Of the seconds of all steps that are expected."""
        if progress.total_steps <= 1:
            return 0.0
        self._total_steps = progress.total_steps
        self._planned_steps = self._planned_steps or progress.total_steps
        done = self._training.until(progress.step / self._planned_steps)
        return done / self._training_seconds(progress.step)

    def _training_seconds(self, step: int | None = None) -> float:
        """Of all steps, with those that may be added as long as that is open."""
        certain = self._total_steps / self._planned_steps if self._planned_steps else 1.0
        most = max(certain, self._training.most)
        known = self._training.until(certain)
        if step is not None and step >= self._total_steps:
            return known
        return known + _EXTENSION_CHANCE * (self._training.until(most) - known)

    def _expected(self, name: str) -> float:
        return self._training_seconds() if name == TRAINING else self._planned[name]

    def _of_stage(self, now: float) -> tuple[float, float]:
        """Seconds that the present stage takes as a whole, and those that it has left."""
        elapsed, expected = now - self._entered, self._expected(self._stage) * self._pace(None)
        done = self._share - self._first_share
        if done <= 0:
            left = max(expected * (1 - self._share) - elapsed, _OVERDUE * elapsed)
            return max(expected, elapsed + left), left
        heard = self._heard - self._entered
        trust = done / (done + _TRUST)
        whole = trust * heard / done + (1 - trust) * expected
        left = (1 - self._share) * whole
        since = now - self._heard
        return whole, max(left - since, 0.1 * left)

    def _pace(self, whole: float | None) -> float:
        """How many times as long as planned the stages so far have taken."""
        prior = _DOUBT * sum(self._planned.values())
        taken, planned = prior, prior
        for name, seconds in self._taken.items():
            if name != self._stage:
                taken, planned = taken + seconds, planned + self._expected(name)
        if whole is not None:
            taken += self._share * whole
            planned += self._share * self._expected(self._stage)
        return taken / planned

    def _ahead(self) -> list[str]:
        """The stages that are yet to come."""
        later = self._order[self._order.index(self._stage) + 1 :]
        if self._stage in _BEFORE_STEPS:
            later += [name for name in _BEFORE_STEPS if name in self._planned and name not in later]
        return [name for name in later if name not in self._taken and name != self._stage]
