"""Settings as people write them, and what is said of one that is wrong."""

import os
import subprocess
import sys
from datetime import timedelta
from subprocess import PIPE

import pytest

from app.core.settings import Settings, load_settings
from app.core.units import read_duration, read_size
from app.embedded import settings_environment

ODD_DURATIONS = ["soon", "", "-5", "-5s", "-PT5S", "5 parsecs", "5x", "s5", "nan", "inf", "1e999", "5s 3"]


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            *(("45", 45), ("0.5", 0.5), ("0", 0), (" 45s ", 45), ("45 s", 45), ("300ms", 0.3)),
            *(("2m", 120), ("2min", 120), ("1h", 3600), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400)),
            *(("3d", 3 * 86400), ("PT45S", 45), ("pt1h", 3600), ("P1DT2H", 26 * 3600), ("00:00:45", 45)),
        ],
    )
    def test_durations(self, text, seconds):
        assert read_duration(text) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("text", ODD_DURATIONS)
    def test_no_durations(self, text):
        with pytest.raises(ValueError, match="such as 45s"):
            read_duration(text)

    @pytest.mark.parametrize(
        ("text", "size"),
        [
            *(("1048576", 2**20), ("1_000", 1000), ("0", 0), ("100MB", 10**8), ("512 KiB", 2**19)),
            *(("4GiB", 2**32), ("4g", 2**32), ("1.5GiB", 3 * 2**29), ("7b", 7)),
        ],
    )
    def test_sizes(self, text, size):
        assert read_size(text) == size

    @pytest.mark.parametrize("text", ["", "much", "-1", "1.5", "5 parsecs", "GiB"])
    def test_no_sizes(self, text):
        with pytest.raises(ValueError, match="such as 512KiB"):
            read_size(text)


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation])
def test_every_duration_and_size_is_read_so(name, monkeypatch):
    annotation = Settings.model_fields[name].annotation
    if annotation is timedelta:
        monkeypatch.setenv("SQUEEZE_LEASE", "1d")
        monkeypatch.setenv(f"SQUEEZE_{name.upper()}", "1m30s" if name != "lease" else "1d")
        assert getattr(load_settings(), name) in (timedelta(seconds=90), timedelta(days=1))
    elif name.endswith("_bytes"):
        monkeypatch.setenv(f"SQUEEZE_{name.upper()}", "3MiB")
        assert getattr(load_settings(), name) == 3 * 2**20


def test_the_environment_of_a_process_is_read_back(monkeypatch):
    settings = Settings(lease=timedelta(minutes=2), queues=["a", "b"], database_url="postgres://host/name")
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings
    assert settings.database_url == "postgresql+psycopg://host/name"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lease", "soon", "expected seconds (45) or a duration such as 45s, 2m, 1h30m or PT45S"),
        ("lease", "0", "greater than 0"),
        ("max_upload_bytes", "lots", "expected bytes (1048576) or a size such as"),
        ("port", "http", "valid integer"),
        ("port", "99999", "less than or equal to 65535"),
        ("max_attempts", "0", "greater than or equal to 1"),
        ("queues", ",", "at least 1 item"),
        ("broker_url", "amqp://user:secret@host", "starts with redis:// or rediss://"),
        ("database_url", "mysql://user:secret@host/db", "starts with postgresql+psycopg:// or sqlite://"),
        ("storage_url", "/var/files", "starts with s3:// or file://"),
    ],
)
def test_one_line_says_what_is_wrong(name, value, words, monkeypatch, capsys):
    monkeypatch.setenv(f"SQUEEZE_{name.upper()}", value)
    with pytest.raises(SystemExit) as ended:
        load_settings()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"squeeze: SQUEEZE_{name.upper()}={value.replace('secret', '***')}: ")
    assert words in line
    assert "secret" not in line


def test_settings_that_contradict_each_other(monkeypatch, capsys):
    monkeypatch.setenv("SQUEEZE_LEASE", "45")
    monkeypatch.setenv("SQUEEZE_HEARTBEAT", "40s")
    with pytest.raises(SystemExit):
        load_settings()
    [line] = capsys.readouterr().err.splitlines()
    assert line == "squeeze: SQUEEZE_HEARTBEAT=40s must be at most half of SQUEEZE_LEASE=45s."


def test_every_process_ends_with_that_line(tmp_path):
    commands = (["app.cli", "up"], ["worker.runner.main"])
    environment = os.environ | {"SQUEEZE_LEASE": "soon", "SQUEEZE_DATA_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=PIPE, stderr=PIPE, text=True
        )
        for command in commands
    ]
    for process in processes:
        output, errors = process.communicate()
        assert (process.returncode, output) == (2, "")
        [line] = errors.splitlines()
        assert line.startswith("squeeze: SQUEEZE_LEASE=soon: expected seconds")
