"""What a log says: one record a line where that is asked for, whose it is, and no secrets."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest

from app.core.logging import add_to_log_context, configure_logging, log_context, record_of, without_secrets
from app.core.settings import Settings

logger = logging.getLogger("tests.logging")

SECRETS = {
    "postgresql+psycopg://squeeze:hunter2@postgres/squeeze": "postgresql+psycopg://squeeze:***@postgres/squeeze",
    "redis://:hunter2@valkey:6379/0 is away": "redis://:***@valkey:6379/0 is away",
    f"key sqz_{'0' * 26}_{'a' * 64}.": f"key sqz_{'0' * 26}_***.",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "whsec_***",
    "{'Authorization': 'Bearer hunter2', 'a': 1}": "{'Authorization': 'Bearer ***', 'a': 1}",
    "authorization: Basic aHVudGVyMg==": "authorization: Basic ***",
    "http://127.0.0.1:8000/v1/jobs at 12:30": "http://127.0.0.1:8000/v1/jobs at 12:30",
}


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """The lines that have been written."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    yield lines
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(("text", "shown"), SECRETS.items())
def test_secrets_are_cut_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_line_of_text_names_what_it_belongs_to(written: Callable[[], list[str]]) -> None:
    configure_logging("text")
    with log_context(request_id="req-1"):
        add_to_log_context(project_id="prj_1")
        logger.info("a model of %d MB", 7)
    logger.warning("%s is away", "redis://:hunter2@valkey")
    first, second = written()
    assert first.endswith("INFO    tests.logging [req-1 prj_1] a model of 7 MB")
    assert second.endswith("WARNING tests.logging [-] redis://:***@valkey is away")


def test_a_record_is_one_line_of_json(written: Callable[[], list[str]]) -> None:
    configure_logging("json")
    with log_context(project_id="prj_1"), log_context(job_id="job_1", attempt="2"):
        error = ValueError("postgresql://user:hunter2@host\nand a second line")
        logger.error("could not\nconnect", exc_info=error)
    [line] = written()
    record: dict[str, Any] = json.loads(line)
    assert record.pop("time").endswith("+00:00")
    assert record.pop("exception") == "ValueError: postgresql://user:***@host\nand a second line"
    assert record == {
        "level": "ERROR",
        "logger": "tests.logging",
        "message": "could not\nconnect",
        "project_id": "prj_1",
        "job_id": "job_1",
        "attempt": "2",
    }


def test_what_is_learnt_later_is_known_to_other_threads(
    written: Callable[[], list[str]],
) -> None:
    configure_logging("json")
    with log_context(request_id="req-1"):
        thread = threading.Thread(target=copy_context().run, args=(logger.info, "hello"))
        add_to_log_context(project_id="prj_1")
        thread.start()
        thread.join()
    [line] = written()
    assert json.loads(line)["project_id"] == "prj_1"


def test_what_another_process_wrote_is_logged_as_it_was(written: Callable[[], list[str]]) -> None:
    configure_logging("json")
    logger.info("before")
    [line] = written()
    again = record_of(line, logger="other")
    assert (again.name, again.levelno, again.getMessage()) == ("tests.logging", logging.INFO, "before")


@pytest.mark.parametrize(
    "line", ["Segmentation fault", "{", "[1]", '{"level": "LOUD", "logger": "a", "message": "b"}']
)
def test_any_other_line_is_a_message(line: str) -> None:
    record = record_of(line, logger="other")
    assert (record.name, record.getMessage()) == ("other", line)


def test_settings_show_no_passwords() -> None:
    shown = repr(Settings(database_url="postgresql://a:hunter2@host/db", broker_url="redis://:hunter2@host"))
    assert "hunter2" not in shown
