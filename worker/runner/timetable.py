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
"""The share of a stage that it takes until its own pace says as much as that of the stages before it."""
_DOUBT: Final = 0.03
"""The share of a plan that it takes until the pace of the stages so far says as much as the plan."""
_OVERDUE: Final = 0.25
"""Of what a stage takes that says nothing and is overdue: it is thought to take so much more."""
_IN_TIME: Final = 0.9
"""Of what a stage is to take, it takes before it counts as overdue."""
_SILENT: Final = 0.1
"""Of what a stage had left when it was last heard of, at least, as long as it is not over."""
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

    All times are of one clock that the caller reads, in seconds. Those of the plan are "planned seconds".
    """

    def __init__(self, estimate: Estimate | None, *, now: float) -> None:
        stages = [] if estimate is None else estimate.stages
        if estimate is None or not stages:
            stages = [
                StageEstimate(stage=name, seconds=s, built_in_seconds=s, steps=100 * (name == TRAINING))
                for name, s in _USUAL_S.items()
            ]
        self._planned: dict[str, float] = {}
        """Seconds by stage that depend on the device's speed."""
        self._fixed: dict[str, float] = {}
        for stage in stages:
            name, fixed = stage.stage, stage.fixed_seconds
            self._planned[name] = self._planned.get(name, 0.0) + stage.seconds - fixed
            self._fixed[name] = self._fixed.get(name, 0.0) + fixed
        most = 1.0 if estimate is None else max(1.0, estimate.max_steps / max(1, estimate.steps))
        self._training = _Training.of([stage for stage in stages if stage.stage == TRAINING], most)
        self._planned_steps = self._total_steps = 0
        """As the job's process counts them: at first, and with those that were added."""
        self._taken: dict[str, float] = {}
        """By stage that was left."""
        self._stage = next(iter(self._planned))
        self._entered = self._heard = self._asked = now
        self._done = self._first_done = 0.0
        """Planned seconds of the stage that are done, and that were done when it was entered."""
        self._fraction = 0.0
        self.is_resumed = False
        """Whether an earlier attempt has done a part of the training."""

    def enter(self, stage: str, now: float) -> None:
        """A stage begins; one that the plan lacks belongs to that before it."""
        if stage not in self._planned or stage == self._stage:
            return
        self._leave(now)
        self._stage = stage
        self._entered = self._heard = now
        self._done = self._first_done = 0.0

    def hear(self, progress: Progress, now: float) -> None:
        """Take in what a job's process says of its stage."""
        stage = self._stage_of(progress)
        is_new = stage != self._stage
        self.enter(stage, now)
        done = self._done_of(stage, progress)
        if is_new:
            self._first_done = done
            if stage == TRAINING and done > 0 and stage not in self._taken:
                self.is_resumed = True
                self._fraction = max(self._fraction, done / sum(map(self._expected, self._planned)))
        if done > self._done:
            self._done, self._heard = done, now

    def progress(self, now: float) -> tuple[float, float]:
        """The fraction of the whole job that is done, which never falls, and the seconds it has left.

        The fraction goes on from where it is, so fast that it is 1 when no time is left.
        """
        whole, left = self._of_stage(now)
        pace, ahead = self._pace(whole), self._ahead()
        eta_s = left + sum(self._planned[name] * pace + self._fixed[name] for name in ahead)
        since = now - self._asked
        if since > 0:
            step = (_NEARLY_DONE - self._fraction) * since / (since + eta_s)
            self._fraction, self._asked = self._fraction + step, now
        return self._fraction, eta_s

    def close(self, now: float) -> Mapping[str, float]:
        """The job is over: seconds by stage; of the training as if it had taken the planned steps."""
        self._leave(now)
        taken = dict(self._taken)
        if TRAINING in taken and self._planned_steps:
            taken[TRAINING] *= self._training.until(1.0) / self._training.until(self._lengthened)
        return taken

    @property
    def _lengthened(self) -> float:
        """How many times as many steps there are as planned."""
        return self._total_steps / self._planned_steps if self._planned_steps else 1.0

    def _leave(self, now: float) -> None:
        self._taken[self._stage] = self._taken.get(self._stage, 0.0) + now - self._entered
        self._entered = now

    def _stage_of(self, progress: Progress) -> str:
        """A method's own stages, whatever their names, are its training."""
        name = progress.stage
        if name == TRAINING and (progress.step, progress.total_steps) == (0, 1):
            name = PREPARING  # it begins: the first step is yet to come
        return name if name in self._planned else TRAINING

    def _done_of(self, stage: str, progress: Progress) -> float:
        if stage == PREPARING:
            return 0.0  # its parts are too unlike
        if stage != TRAINING:
            return self._planned[stage] * progress.step / max(1, progress.total_steps)
        if progress.total_steps <= 1:
            return 0.0
        self._total_steps = progress.total_steps
        self._planned_steps = self._planned_steps or progress.total_steps
        return self._training.until(progress.step / self._planned_steps)

    def _expected(self, name: str) -> float:
        """Planned seconds of a stage, with some for steps that may be added."""
        if name != TRAINING:
            return self._planned[name]
        known = self._training.until(self._lengthened)
        most = self._training.until(max(self._lengthened, self._training.most))
        return known + _EXTENSION_CHANCE * (most - known)

    def _of_stage(self, now: float) -> tuple[float, float]:
        """Seconds that the present stage takes as a whole, and those that it has left."""
        elapsed, pace = now - self._entered, self._pace(None)
        done, ahead = self._done - self._first_done, self._expected(self._stage) - self._done
        if done <= 0:
            whole = ahead * pace + self._fixed[self._stage]
            left = max(whole - elapsed, _OVERDUE * (elapsed - _IN_TIME * whole))
            return elapsed + left, left
        trust = done / (done + _TRUST * self._expected(self._stage))
        left = ahead * (trust * (self._heard - self._entered) / done + (1 - trust) * pace)
        left = max(left - (now - self._heard), _SILENT * left)
        return elapsed + left, left

    def _pace(self, whole: float | None) -> float:
        """How many times as long as planned the stages so far take: those that are over, and this one."""
        taken = planned = _DOUBT * sum(self._planned.values())
        for name, seconds in self._taken.items():
            if name != self._stage:
                taken += max(0.0, seconds - self._fixed[name])
                planned += self._expected(name)
        if whole is not None:
            taken += max(0.0, whole - self._fixed[self._stage])
            planned += self._expected(self._stage) - self._first_done
        return taken / planned

    def _ahead(self) -> list[str]:
        """The stages that are yet to come."""
        order = list(self._planned)
        later = order[order.index(self._stage) + 1 :]
        if self._stage in _BEFORE_STEPS:
            later += [name for name in _BEFORE_STEPS if name in self._planned and name not in later]
        return [name for name in later if name not in self._taken and name != self._stage]
