"""Jobs end when the API would have said they do: on the timelines that the benchmark recorded."""

import pytest

from app.domain.methods import METHOD_SPECS
from benchmarks.eta import METHODS, TENTHS, TIMELINES, WITHIN, error, judge, read_timelines
from benchmarks.harness import RESULTS

RECORDED = read_timelines()


def test_every_method_has_been_recorded():
    assert TIMELINES.is_relative_to(RESULTS)
    assert set(RECORDED) == set(METHODS)
    assert set(METHODS) <= set(METHOD_SPECS)


@pytest.mark.parametrize("name", METHODS)
def test_its_end_is_foretold_from_a_tenth_of_it_on(name: str):
    found = judge(name, RECORDED)
    assert max(error(found[f"end_{tenth}"]) for tenth in TENTHS) < WITHIN
    assert max(error(found[f"new_end_{tenth}"]) for tenth in (5, 6, 7, 8, 9)) < WITHIN


@pytest.mark.parametrize(("ratio", "times"), [(1.0, 1.0), (2.0, 2.0), (0.5, 2.0), (0.0, float("inf"))])
def test_an_error_is_how_many_times_too_long_or_too_short(ratio: float, times: float):
    assert error(ratio) == times
