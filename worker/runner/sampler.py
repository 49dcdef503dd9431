"""Which candidate a search tries next: an even spread at first, then what Optuna's sampler proposes.

The study is made anew of the stored trials for each question, so that any worker gives the same answer.
"""

import math
from collections.abc import Sequence
from typing import Final

from app.domain.documents.search import Candidate, SearchState, Trial
from app.domain.search.decision import most_retained
from app.domain.search.halving import smallest

_SPREAD: Final = 4
"""So many candidates are spread over sizes and methods before the sampler has anything to learn from."""
_SHORTFALL: Final = 10.0
"""What lacking all of the teacher's quality weighs, where halving the size weighs 0.7."""


def propose(state: SearchState) -> int | None:
    """The index of the candidate to try next; None where all have been tried."""
    tried = {trial.candidate for trial in state.trials}
    left = [index for index in range(len(state.candidates)) if index not in tried]
    if not left:
        return None
    begun = len(state.trials)
    if begun < _SPREAD:
        return _spread(state, left, begun)
    method, size = _asked(state)
    same = [index for index in left if state.candidates[index].method.name == method]
    return min(same or left, key=lambda index: (abs(_position(state, index) - size), index))


def _spread(state: SearchState, left: Sequence[int], begun: int) -> int:
    """Evenly over sizes, the largest first, and of a method that was not tried where there is one."""
    width = min(_SPREAD, state.budget.most_trials)
    size = 1 - (begun + 0.5) / width
    used = {state.candidates[trial.candidate].method.name for trial in state.trials}
    new = [index for index in left if state.candidates[index].method.name not in used]
    return min(new or left, key=lambda index: (abs(_position(state, index) - size), index))


def _asked(state: SearchState) -> tuple[str, float]:
    """A method, and a size between that of the smallest candidate, 0, and of the largest, 1."""
    import optuna  # in no process but one that advances a search

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = sorted({candidate.method.name for candidate in state.candidates})
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "method": optuna.distributions.CategoricalDistribution(names),
        "size": optuna.distributions.FloatDistribution(0, 1),
    }
    sampler = optuna.samplers.TPESampler(
        seed=(state.seed + len(state.trials)) % 2**32, n_startup_trials=_SPREAD
    )
    study = optuna.create_study(sampler=sampler)
    for trial in state.finished:
        if trial.rung == 0 and trial.measurements:
            params = {
                "method": state.candidates[trial.candidate].method.name,
                "size": _position(state, trial.candidate),
            }
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=space, value=_value(trial, state))
            )
    asked = study.ask(space)
    return str(asked.params["method"]), float(asked.params["size"])


def _position(state: SearchState, index: int) -> float:
    sizes = [_size(candidate) for candidate in state.candidates]
    low, high = min(sizes), max(sizes)
    return 0.5 if high == low else (_size(state.candidates[index]) - low) / (high - low)


def _size(candidate: Candidate) -> float:
    return math.log(candidate.parameters)


def _value(trial: Trial, state: SearchState) -> float:
    """Less is better: what is minimised, on a logarithmic scale, and what lacks of the quality asked for."""
    measure = smallest(trial, state.goals)
    lacking = max(0.0, state.goals.retain - most_retained(trial))
    return (math.log(measure) if 0 < measure < math.inf else 0.0) + _SHORTFALL * lacking
