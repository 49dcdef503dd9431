"""How a search goes on: short runs of all, longer ones of the promising, an end by budget or on request."""

from collections.abc import Callable

import pytest

from app.domain.documents.auto import SearchBudget
from app.domain.documents.search import SearchState
from app.domain.search.candidates import fitting_methods, targets_of
from app.domain.search.halving import promoted, rungs
from app.domain.search.proposing import propose
from app.domain.search.steps import AT_ONCE, Ended, NextRun, take_step, with_runs
from app.domain.tasks import TASKS
from tests.app.jobs.shelf import ENCODER
from tests.domain.search.states import METHODS, candidate, measured, state, trial

SIZES = [1000 * 2**n for n in range(10)]


def run_to_end(
    search: SearchState, quality: Callable[[int], float], *, share_lost: float = 0.02
) -> tuple[SearchState, list[NextRun]]:
    """A search whose runs end one by one; short ones keep less of the teacher."""
    begun: list[NextRun] = []
    ended: dict[str, Ended] = {}
    while True:
        step = take_step(search, ended, elapsed_s=0, propose=propose)
        jobs = [f"job_{len(begun) + n}" for n in range(len(step.runs))]
        begun += step.runs
        search = with_runs(step.state, step.runs, jobs)
        if search.is_over:
            return search, begun
        first = search.running[0]
        parameters = search.candidates[first.candidate].parameters
        retained = quality(parameters) - (share_lost if first.share < 1 else 0)
        ended = {first.job: Ended("finished", "mdl", (measured(retained, parameters),))}


def grows(parameters: int) -> float:
    """Of the teacher's quality, what so many parameters keep."""
    return 1 - 60 / parameters


def test_few_candidates_are_trained_in_full_at_once():
    assert rungs(2) == ((2, 1.0),)
    assert rungs(8) == ((8, 0.25), (2, 1.0))


def test_all_candidates_in_short_runs_then_the_promising_ones_in_full():
    search, begun = run_to_end(state(SIZES), grows)
    assert [run.rung for run in begun] == [0] * 8 + [1] * 2
    assert len({run.candidate for run in begun if run.rung == 0}) == 8
    best = search.outcome.best
    assert best is not None
    chosen = search.candidates[search.trials[best.trial - 1].candidate].parameters
    fitting = [size for size in SIZES if grows(size) - 0.01 >= 0.97]
    assert chosen <= 1.3 * min(fitting)


def test_the_same_state_gives_the_same_step():
    search = state(SIZES, trials=[trial(n, 0.9 + n / 100, SIZES[n - 1]) for n in range(1, 7)])
    steps = [take_step(search, {}, elapsed_s=5, propose=propose) for _ in range(2)]
    assert steps[0] == steps[1]
    assert steps[0].runs


def test_so_many_short_runs_at_once():
    step = take_step(state(SIZES), {}, elapsed_s=0, propose=propose)
    assert len(step.runs) == AT_ONCE
    waiting = with_runs(step.state, step.runs, ["a", "b", "c", "d"])
    assert take_step(waiting, {}, elapsed_s=0, propose=propose).runs == []
    step = take_step(waiting, {"b": Ended("failed")}, elapsed_s=0, propose=propose)
    assert [ended.job for ended in step.ended] == ["b"]
    assert len(step.runs) == 1


def test_what_ended_is_counted_once():
    waiting = with_runs(state(SIZES), [NextRun(0, 0, 0.25)], ["a"])
    first = take_step(waiting, {"a": Ended("failed")}, elapsed_s=0, propose=propose)
    again = take_step(first.state, {"a": Ended("failed")}, elapsed_s=0, propose=propose)
    assert [len(step.ended) for step in (first, again)] == [1, 0]


def test_only_what_could_be_better_than_the_best_gets_a_longer_run():
    trials = [trial(1, 0.99, 4000), trial(2, 0.97, 8000), trial(3, 0.9, 2000)]
    search = state([4000, 8000, 2000], trials=trials)
    assert promoted(search) == 2
    search.trials = trials[:2]
    assert promoted(search) is None


def test_the_smallest_that_a_longer_run_may_bring_to_the_goal_comes_first():
    trials = [trial(1, 0.965, 8000), trial(2, 0.962, 4000), trial(3, 0.9, 2000)]
    assert promoted(state([8000, 4000, 2000], trials=trials)) == 1


def test_what_longer_runs_gained_decides_which_comes_next():
    """They gained nothing so far: what lacks least has the best chance."""
    trials = [trial(1, 0.979, 9000), trial(2, 0.965, 8000), trial(3, 0.962, 4000), trial(4, 0.962, 6000)]
    search = state([9000, 8000, 4000, 6000], trials=trials)
    assert promoted(search) == 2
    search.trials.append(trial(5, 0.962, 4000, candidate=2, rung=1, share=1.0))
    assert promoted(search) == 0


def test_what_does_not_train_in_steps_gets_no_longer_run():
    search = state([4000, 2000, 1000, 500], trials=[trial(1, 0.9, 4000), trial(2, 0.9, 2000)])
    search.candidates[1] = candidate(2000, "tfidf")
    assert promoted(search) == 0
    search.trials = search.trials[1:]
    assert promoted(search) is None


@pytest.mark.parametrize("stop", ["cancel", "keep"])
def test_a_stop_ends_the_runs_and_then_the_search(stop):
    search = with_runs(state(SIZES, trials=[trial(1, 0.99)]), [NextRun(1, 0, 0.25)], ["b"])
    search.stop = stop
    step = take_step(search, {}, elapsed_s=0, propose=propose)
    assert (step.stops, step.runs, step.state.is_over) == (["b"], [], False)
    step = take_step(step.state, {"b": Ended("cancelled")}, elapsed_s=0, propose=propose)
    assert step.state.is_over
    assert step.state.outcome.best is not None


def test_minutes_end_it_too_and_leave_time_for_full_runs():
    search = state(SIZES, budget=SearchBudget(minutes=1), trials=[trial(1, 0.9, 1000), trial(2, 0.91, 2000)])
    step = take_step(search, {}, elapsed_s=31, propose=propose)
    assert [run.rung for run in step.runs] == [1]
    running = with_runs(step.state, step.runs, ["a"])
    step = take_step(running, {}, elapsed_s=60, propose=propose)
    assert (step.state.stop, step.stops) == ("budget", ["a"])


def test_candidates_come_of_the_methods_traits():
    for task in TASKS:
        for method in fitting_methods(task, ENCODER, None):
            assert task in method.card.tasks
            assert not method.card.keeps_size
            assert list(targets_of(method, vocabulary=30_000))
    names = {method.name for method in fitting_methods("text_classification", ENCODER, None)}
    assert {"distillation", "weight_inherited", "tfidf"} <= names
    assert not names & {"scratch", "weight_copy", "fine_tuning"}
    [only] = fitting_methods("text_classification", ENCODER, ["low_rank"])
    assert only.name == "low_rank"


def test_the_first_trials_are_of_all_methods_at_the_middle_of_the_sizes():
    candidates = [candidate(size, name) for name in METHODS for size in SIZES]
    step = take_step(state([], candidates=candidates), {}, elapsed_s=0, propose=propose)
    assert {candidates[run.candidate].method.name for run in step.runs} == set(METHODS)
    assert {candidates[run.candidate].parameters for run in step.runs} == {16_000, 32_000}
