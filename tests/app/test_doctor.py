"""``squeeze doctor``: what it finds, and what it says to do."""

import json
from pathlib import Path

import pytest

from app.cli import main
from app.commands import doctor
from app.commands.doctor import examine
from app.core.settings import get_settings
from tests.app.conftest import make_settings


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch):
    """Which takes seconds to import."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)


def test_a_machine_for_the_api(sqlite_url: str, tmp_path: Path):
    settings = make_settings(tmp_path, database_url=sqlite_url)
    findings = {finding.name: finding for finding in examine(settings)}
    assert list(findings) == ["database", "broker", "store", "disk", "device", "versions"]
    assert [name for name, finding in findings.items() if finding.fix] == ["device"]


def test_what_to_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("SQUEEZE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SQUEEZE_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    monkeypatch.setenv("SQUEEZE_BROKER_URL", "redis://127.0.0.1:1/0")
    get_settings.cache_clear()
    assert main(["doctor", "--json"]) == 1
    get_settings.cache_clear()
    printed = capsys.readouterr().out
    findings = {finding["name"]: finding for finding in json.loads(printed)}
    assert "SQUEEZE_DATABASE_URL" in findings["database"]["fix"]
    assert "SQUEEZE_BROKER_URL" in findings["broker"]["fix"]
    assert "squeeze[worker]" in findings["device"]["fix"]
    assert "secret" not in printed
