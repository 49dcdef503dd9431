"""Which candidate a search tries next: methods at one size first, then where quality crosses the goal.

What a method's students retain falls with their size, so that the smallest that meets the goal lies between
one that is expected to and a smaller one that is not.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.domain.documents.search import SearchState, Trial
from app.domain.search.halving import expected_low

_METHODS: Final = 4
"""So many are tried at one size before any is tried at another."""
_LOST_PER_FOLD: Final = 0.02
"""Of the teacher's quality, by a student e times smaller, where a method has been tried on one side only."""


class _Point(NamedTuple):
    size: float
    """The logarithm of the parameters."""
    excess: float
    """Of what a full run is expected to retain, over the goal."""


class _Crossing(NamedTuple):
    """Where a method's quality is expected to cross the goal, and the sizes tried around it."""

    size: float
    low: float
    high: float


def propose(state: SearchState) -> int | None:
    """The index of the candidate to try next; None where all have been tried."""
    tried = {trial.candidate for trial in state.trials}
    left = [index for index in range(len(state.candidates)) if index not in tried]
    if not left:
        return None
    used = {_method(state, index) for index in tried}
    unused = [index for index in left if _method(state, index) not in used]
    if unused and len(used) < _METHODS:
        return _nearest(state, unused, _middle(state))
    crossings = {method: _crossing(points) for method, points in _points(state).items()}
    for method, crossing in sorted(crossings.items(), key=lambda item: item[1].size):
        between = [
            index
            for index in left
            if _method(state, index) == method and crossing.low < _size(state, index) < crossing.high
        ]
        if between:
            return _nearest(state, between, crossing.size)
    smallest = min((crossing.size for crossing in crossings.values()), default=_middle(state))
    return _nearest(state, left, smallest)


def _points(state: SearchState) -> dict[str, list[_Point]]:
    """What short runs have shown, by method."""
    points = defaultdict(list)
    for trial in state.finished:
        if trial.rung == 0 and trial.measurements:
            points[_method(state, trial.candidate)].append(_point(state, trial))
    return points


def _point(state: SearchState, trial: Trial) -> _Point:
    return _Point(_size(state, trial.candidate), expected_low(state, trial) - state.goals.retain)


def _crossing(points: Sequence[_Point]) -> _Crossing:
    """Between the smallest that meets the goal and the next smaller one, or beyond all tried."""
    meeting = min((point for point in points if point.excess >= 0), default=None)
    high = math.inf if meeting is None else meeting.size
    missing = max((point for point in points if point.size < high), default=None)
    low = -math.inf if missing is None else missing.size
    if meeting is not None and missing is not None:
        part = missing.excess / (missing.excess - meeting.excess)
        return _Crossing(missing.size + part * (meeting.size - missing.size), low, high)
    known = meeting or missing
    assert known is not None
    return _Crossing(known.size - known.excess / _LOST_PER_FOLD, low, high)


def _nearest(state: SearchState, indices: Sequence[int], size: float) -> int:
    return min(indices, key=lambda index: (abs(_size(state, index) - size), index))


def _middle(state: SearchState) -> float:
    """Between the smallest candidate and the largest."""
    sizes = [_size(state, index) for index in range(len(state.candidates))]
    return (min(sizes) + max(sizes)) / 2


def _size(state: SearchState, index: int) -> float:
    return math.log(state.candidates[index].parameters)


def _method(state: SearchState, index: int) -> str:
    return state.candidates[index].method.name
