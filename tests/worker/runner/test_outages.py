"""What a worker's log says while the database or the store is away: a line, and no stack."""

from datetime import timedelta

import pytest

from app.core.queue import RUN_JOB
from app.core.settings import Settings
from worker.runner.celery_app import create_celery
from worker.runner.cleaning import clean_up
from worker.runner.conclusion import clear_output
from worker.runner.main import repeat
from worker.runner.shutdown import Shutdown
from worker.runner.worker import Worker, create_worker


@pytest.fixture
def worker(tmp_path, monkeypatch) -> Worker:
    """One whose database and store refuse connections."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    settings = Settings(
        data_dir=tmp_path,
        database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing",
        storage_url="s3://bucket/files",
        s3_endpoint="http://127.0.0.1:1",
        storage_timeout=timedelta(seconds=0.1),
    )
    return create_worker(settings, Shutdown())


def test_announcements_while_the_database_is_away(worker, caplog):
    run = create_celery(worker).tasks[RUN_JOB]
    for _ in range(3):
        run("job_00000000000000000000000000")
    assert [record.exc_info for record in caplog.records] == [None]
    assert caplog.messages[0].startswith("the database is unavailable: ")


def test_cleaning_while_the_store_is_away(worker, caplog):
    def clean_and_stop() -> None:
        try:
            clean_up(worker)
        finally:
            worker.shutdown.request()

    repeat(clean_and_stop, timedelta(0), worker)
    assert [record.exc_info for record in caplog.records] == [None]
    assert caplog.messages[0].startswith("the store is unavailable: ")


def test_what_an_attempt_has_stored_while_the_store_is_away(worker, caplog):
    assert not clear_output(worker, "models/job-1")
    [line] = [record for record in caplog.records if record.name.startswith("worker")]
    assert line.exc_info is None
    assert "\n" not in line.getMessage()
