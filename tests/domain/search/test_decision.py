"""Which student a search answers with, and what it says where none meets the goals."""

import pytest

from app.domain.documents.auto import Goals
from app.domain.documents.search import Choice
from app.domain.search.decision import decide
from app.domain.search.wording import outcome_sentence
from tests.domain.search.states import measured, state, trial

GOALS = Goals(retain=0.97, minimize="parameters")


def fp32(number: int) -> Choice:
    return Choice(trial=number, precision="fp32")


def test_the_front_holds_what_no_other_beats():
    trials = [trial(1, 0.99, 4000), trial(2, 0.98, 2000), trial(3, 0.975, 3000), trial(4, 0.9, 500)]
    assert decide(trials, GOALS).front == [fp32(4), fp32(2), fp32(1)]


def test_the_smallest_that_meets_the_goals_is_best():
    outcome = decide([trial(1, 0.99, 4000), trial(2, 0.985, 2000), trial(3, 0.9, 500)], GOALS)
    assert (outcome.best, outcome.closest, outcome.unmet) == (fp32(2), None, [])


def test_a_goal_is_met_by_the_lower_bound():
    """0.975 is above the goal and may be below it by chance."""
    assert decide([trial(1, 0.975)], GOALS).best is None
    assert decide([trial(1, 0.98)], GOALS).best == fp32(1)


def test_the_goal_that_is_missed_is_named_with_what_comes_closest():
    outcome = decide([trial(1, 0.9, 500), trial(2, 0.97, 4000)], GOALS)
    assert (outcome.best, outcome.closest) == (None, fp32(2))
    [unmet] = outcome.unmet
    assert (unmet.goal, unmet.asked, unmet.trial) == ("retain", 0.97, 2)
    assert unmet.closest == pytest.approx(0.96)


@pytest.mark.parametrize("latency_ms", [None, 8.0])
def test_a_latency_that_is_too_long_or_was_not_measured_is_missed(latency_ms):
    goals = GOALS.model_copy(update={"max_latency_ms": 4.0})
    given = trial(1, 0.99)
    given.measurements = [measured(0.99, latency_ms=latency_ms)]
    outcome = decide([given], goals)
    assert [unmet.goal for unmet in outcome.unmet] == ["max_latency_ms"]


def test_a_sentence_says_it():
    one = state([4000], trials=[trial(1, 0.985, 4000)])
    one.outcome = decide(one.trials, one.goals)
    assert outcome_sentence(one) == (
        "Trial 1 (distillation, fp32) is the smallest student that meets the goals: 0.004 MB, 4,000 "
        "parameters, 98.5% of the teacher's quality (at least 97.5%)."
    )
    one = state([4000], trials=[trial(1, 0.95, 4000)])
    one.outcome = decide(one.trials, one.goals)
    assert outcome_sentence(one) == (
        "No student meets all goals. Trial 1 (distillation, fp32) comes closest and misses retain 0.97 "
        "(reached 0.94). Relax that goal, or allow more trials."
    )
