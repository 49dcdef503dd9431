"""The search's runs are counted against the sweep's; students come of a formula, not of a training."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.domain.documents.search import Candidate
from benchmarks import search
from benchmarks.harness import Value
from tests.domain.search.states import state

SIZES = [1000 * 2**step for step in range(20)]
ENOUGH = SIZES[9]
"""The least size that keeps enough of the teacher in a full run."""

pytestmark = pytest.mark.usefixtures("formula")


@pytest.fixture
def trained(monkeypatch) -> list[tuple[int, float]]:
    """Size and share of each run that was measured, in order."""
    runs: list[tuple[int, float]] = []

    def run(_bench: Any, _place: Any, candidate: Candidate, share: float) -> Mapping[str, Value]:
        runs.append((candidate.parameters, share))
        retained = 0.97 * (candidate.parameters / ENOUGH) ** 0.01 - 0.01 * (1 - share)
        return {"parameters": candidate.parameters, "dev": retained, "retained": retained, "wall_s": share}

    monkeypatch.setattr(search, "train_candidate", run)
    return runs


@pytest.fixture
def formula(monkeypatch, trained):
    monkeypatch.setattr(search, "first_state", lambda *_: state(SIZES))


def measure(folder: Path) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(data=Path(), set="stsb", rows=None)
    return search.BENCH.main(search.measure, parser, ["--out", str(folder / "search.json")], selects=["set"])


def goals(name: str) -> list[float | None]:
    return [goal.reached(search.BENCH.rows) for goal in search.BENCH.goals if goal.text.startswith(name)]


def test_the_search_is_held_to_the_sweep_of_the_same_candidates(trained, tmp_path):
    assert measure(tmp_path) == 1, "of two sets there is nothing yet"
    assert sorted(size for size, share in trained if share == 1) == SIZES, "a full run is measured once"
    size, time = goals("stsb")
    short = sum(share for _, share in trained if share < 1)
    assert size is not None
    assert size >= 1
    assert time == pytest.approx(
        (short + len(search.select(search.BENCH.rows, kind="chosen", share=1.0))) / 20
    )
    assert goals("sst2") == [None, None]


def test_what_was_measured_is_not_measured_again(trained, tmp_path):
    measure(tmp_path)
    count, reached = len(trained), goals("stsb")
    measure(tmp_path)
    assert (len(trained), goals("stsb")) == (count, reached)
