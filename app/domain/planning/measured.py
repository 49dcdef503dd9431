"""What jobs took that have run already, and how it corrects the built-in figures."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.documents.plan import StageEstimate
from app.domain.planning.workload import Workload

_NEAREST: Final = 5


@dataclass(frozen=True)
class MeasuredJob:
    """What a job took on the devices in question."""

    method: str
    step_products: float
    """Of its first step: by it the nearest jobs are found."""
    ratios: Mapping[str, float]
    """By stage: seconds that it took over those of the built-in figures, what is fixed left out of both."""


def with_measured(
    stages: Sequence[StageEstimate], job: Workload, measured: Sequence[MeasuredJob]
) -> tuple[list[StageEstimate], int]:
    """Estimates that the nearest measured jobs correct, and how many of these are of the job's method.

    A stage takes as many times what the built-in figures say as it did for them, in the median; one that no
    job of the method has gone through, as it did for other methods.
    """
    own = _nearest([other for other in measured if other.method == job.method.name], job)
    others = _nearest([other for other in measured if other.method != job.method.name], job)

    def corrected(stage: StageEstimate) -> StageEstimate:
        for known in (own, others):
            if ratios := [other.ratios[stage.stage] for other in known if stage.stage in other.ratios]:
                seconds = (stage.built_in_seconds - stage.fixed_seconds) * statistics.median(ratios)
                return stage.model_copy(update={"seconds": stage.fixed_seconds + seconds})
        return stage

    return [corrected(stage) for stage in stages], len(own)


def measured_ratios(
    stages: Sequence[StageEstimate], seconds: Mapping[str, float], *, least_s: float = 0.01
) -> dict[str, float]:
    """By stage: what it took over what the built-in figures say, what is fixed left out of both.

    Stages that were left out are left out.
    """
    expected, fixed = dict[str, float](), dict[str, float]()
    for stage in stages:
        name = stage.stage
        expected[name] = expected.get(name, 0.0) + stage.built_in_seconds - stage.fixed_seconds
        fixed[name] = fixed.get(name, 0.0) + stage.fixed_seconds
    return {
        name: max(least_s, seconds[name] - fixed[name]) / expected[name]
        for name in expected
        if expected[name] > 0 and name in seconds
    }


def _nearest(measured: Sequence[MeasuredJob], job: Workload) -> list[MeasuredJob]:
    """Those whose steps cost nearly as much as the job's, as a ratio; of equals those that come first."""

    def distance(other: MeasuredJob) -> float:
        return abs(math.log(max(1.0, other.step_products) / max(1.0, job.step_products)))

    return sorted(measured, key=distance)[:_NEAREST]
