import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.harness import Benchmark, Goal, Row, mean, median, ratio

Measure = Callable[[argparse.Namespace], None]


def rate(rows: Sequence[Row]) -> float | None:
    return mean(rows, "rate", model="small")


@pytest.fixture
def bench(tmp_path: Path) -> Benchmark:
    goal = Goal("at least 10", rate, at_least=10)
    return Benchmark("speed", keys=("model", "round"), goals=[goal], results=tmp_path)


def run(bench: Benchmark, measure: Measure, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1)
    parser.add_argument("--only")
    return bench.main(measure, parser, arguments, selects=["only"])


def rounds(bench: Benchmark, taken: list[int], *, rates: Sequence[float]) -> Measure:
    """Measure a round for each rate, noting which were really measured."""

    def one(number: int, value: float) -> dict[str, float]:
        taken.append(number)
        return {"rate": value}

    def measure(_: argparse.Namespace) -> None:
        for number, value in enumerate(rates):
            bench.run(("small", number), lambda number=number, value=value: one(number, value))

    return measure


def test_goal_decides_the_exit_code(bench: Benchmark, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, rounds(bench, [], rates=[10, 12])) == 0
    assert run(bench, rounds(bench, [], rates=[]), "--check") == 0
    assert "met" in capsys.readouterr().out
    assert run(bench, rounds(bench, [], rates=[8, 8]), "--fresh") == 1
    assert run(bench, rounds(bench, [], rates=[]), "--check") == 1
    assert "SHORT" in capsys.readouterr().out


def test_check_without_a_result_fails(bench: Benchmark) -> None:
    assert run(bench, rounds(bench, [], rates=[10]), "--check") == 1


def test_goal_without_rows_is_not_met(bench: Benchmark, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, rounds(bench, [], rates=[])) == 1
    assert "not measured" in capsys.readouterr().out


def test_goes_on_where_it_stopped(bench: Benchmark, tmp_path: Path) -> None:
    taken: list[int] = []

    def stopped(_: argparse.Namespace) -> None:
        rounds(bench, taken, rates=[10])(_)
        raise KeyboardInterrupt

    assert run(bench, stopped) == 130
    assert json.loads((tmp_path / "speed.json").read_text())["finished"] is None
    assert run(bench, rounds(bench, taken, rates=[10, 12])) == 0
    assert taken == [0, 1]
    assert run(bench, rounds(bench, taken, rates=[10, 12]), "--fresh") == 0
    assert taken == [0, 1, 0, 1]


def test_rows_under_other_conditions_are_not_mixed(bench: Benchmark) -> None:
    run(bench, rounds(bench, [], rates=[10]))
    with pytest.raises(SystemExit, match="--fresh"):
        run(bench, rounds(bench, [], rates=[10]), "--size", "2")
    assert run(bench, rounds(bench, [], rates=[10]), "--only", "small") == 0


def test_result_says_where_it_comes_from(bench: Benchmark, tmp_path: Path) -> None:
    run(bench, rounds(bench, [], rates=[10]))
    result = json.loads((tmp_path / "speed.json").read_text())
    assert {"command", "commit", "machine", "started", "finished", "rows", "goals"} <= result.keys()
    assert result["goals"] == [{"goal": "at least 10", "reached": 10.0}]
    assert result["rows"][0]["commit"] == result["commit"]
    assert not list(tmp_path.glob("*.partial"))


def test_goal_needs_one_bound() -> None:
    with pytest.raises(ValueError, match="one of"):
        Goal("both", rate, at_least=1, at_most=2)


def test_columns_of_selected_rows() -> None:
    rows: list[Row] = [{"a": "x", "b": 1}, {"a": "x", "b": 5}, {"a": "x", "b": 3}, {"a": "y", "b": 9}]
    assert median(rows, "b", a="x") == 3
    assert mean(rows, "b", a="y") == 9
    assert mean(rows, "c") is None
    assert ratio(None, 1) is None
    assert ratio(3, 2) == 1.5
