"""How many cores a container gives."""

import sys
from pathlib import Path

import pytest

from app.engine.threads import quota_cores


@pytest.mark.parametrize(
    ("says", "cores"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("max 100000\n", sys.maxsize), ("odd\n", sys.maxsize)],
)
def test_a_quota_is_rounded_up(says: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(says)
    assert quota_cores(tmp_path / "cpu.max") == cores


def test_no_quota(tmp_path: Path) -> None:
    assert quota_cores(tmp_path / "cpu.max") == sys.maxsize
