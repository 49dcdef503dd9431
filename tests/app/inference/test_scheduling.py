"""What runs next, and what waits how long."""

import numpy as np
import pytest

from app.engine.tokenizing import Input, Question
from app.inference.scheduling import PATIENCE, Backlog, Pace, cut_runs, due_at, expected_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 3),
        ("x" * 40, 13),
        (("x" * 20, "y" * 20), 13),
        (["ab", "cd"], 4),
        ("x" * 900, 62),
        (Question("x" * 20, "y" * 900), 233),
    ],
)
def test_expected_tokens(text: Input, tokens: int) -> None:
    assert expected_tokens(text, longest=62) == tokens


def test_a_slow_first_run_is_no_pace() -> None:
    pace = Pace()
    for seconds in (9.0, 0.2, 0.2, 0.2):
        pace.learn(seconds, tokens=10)
    assert pace.seconds == 0, "not known yet"
    pace.learn(0.2, tokens=10)
    assert pace.seconds == pytest.approx(0.02)


def test_cheap_runs_go_first_but_none_waits_for_ever() -> None:
    pace = Pace()
    for _ in range(9):
        pace.learn(0.01, tokens=1)
    dear = due_at(100.0, tokens=100, pace=pace)
    assert due_at(100.5, tokens=2, pace=pace) < dear
    assert due_at(100.0 + PATIENCE * 1.0, tokens=2, pace=pace) > dear


def test_what_is_much_dearer_is_not_ahead() -> None:
    backlog = Backlog()
    backlog.add(10)
    backlog.add(100_000)
    assert backlog.ahead_of(10) == 10
    assert backlog.ahead_of(50_000) == 100_010
    backlog.remove(100_000)
    assert backlog.ahead_of(50_000) == 10


class TestCutRuns:
    def test_loses_nothing_and_keeps_bounds(self) -> None:
        lengths = sorted(np.random.default_rng(0).integers(2, 300, 500).tolist())
        runs = list(cut_runs([[0] * n for n in lengths], max_texts=32, max_tokens=1000, start_tokens=16))
        assert [len(text) for run in runs for text in run] == lengths
        assert max(map(len, runs)) <= 32
        assert all(len(run) * len(run[-1]) <= 1000 for run in runs if len(run) > 1)

    def test_equal_lengths_go_together(self) -> None:
        runs = list(cut_runs([[0] * 10] * 30, max_texts=32, max_tokens=1000, start_tokens=16))
        assert [len(run) for run in runs] == [30]

    def test_a_long_text_does_not_pad_short_ones(self) -> None:
        runs = list(cut_runs([[0] * 5] * 7 + [[0] * 50], max_texts=32, max_tokens=1000, start_tokens=16))
        assert [len(run) for run in runs] == [7, 1]

    def test_a_text_beyond_the_bound_runs_alone(self) -> None:
        assert [
            len(run) for run in cut_runs([[0] * 50] * 2, max_texts=32, max_tokens=40, start_tokens=16)
        ] == [1, 1]
