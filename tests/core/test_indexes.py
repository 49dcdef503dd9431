"""Queries of sweeps, polls and deletions go by an index: they read what is unfinished, not all there is."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from app.core.db import Database, ReadSession
from app.core.db.job_queue import count_queued, expired_jobs, next_queued_job, unannounced_jobs
from app.core.db.jobs import find_jobs, last_events, uses_dataset, uses_model
from app.core.ids import new_id
from app.core.settings import DEFAULT_QUEUE

JOBS, UNFINISHED = 10_000, 200
MODEL, DATASET = new_id("mdl"), new_id("dst")
FILL = f"""
INSERT INTO jobs
  (id, created_at, status, spec, dataset_id, method, attempt, announced_at, progress, report)
SELECT
  'job_' || lpad(n::text, 26, '0'), now(),
  CASE WHEN n % {JOBS // UNFINISHED} = 0 THEN 'queued' ELSE 'succeeded' END,
  jsonb_build_object('padding', repeat('x', 1000)),
  CASE WHEN n % {JOBS // UNFINISHED} = 0 THEN 'dst_other' ELSE '{DATASET}' END,
  'scratch', 0, now(), '{{}}', '{{}}'
FROM generate_series(1, {JOBS}) AS n;
INSERT INTO job_inputs (job_id, role, model_id)
SELECT id, 'teacher', CASE WHEN status = 'queued' THEN 'mdl_other' ELSE '{MODEL}' END FROM jobs;
INSERT INTO job_events (job_id, seq, created_at, kind, data)
SELECT id, seq, now(), 'message', '{{}}' FROM jobs, generate_series(1, 3) AS seq WHERE id < 'job_{100:026}';
"""

QUERIES: dict[str, Callable[[Any], object]] = {
    "unannounced_jobs": lambda session: unannounced_jobs(
        session, DEFAULT_QUEUE, older_than=timedelta(minutes=10)
    ),
    "count_queued": lambda session: count_queued(session, DEFAULT_QUEUE),
    "next_queued_job": next_queued_job,
    "uses_model": lambda session: uses_model(session, MODEL),
    "uses_dataset": lambda session: uses_dataset(session, DATASET),
    "expired_jobs": expired_jobs,
    "find_jobs": lambda session: find_jobs(session, {new_id("job") for _ in range(50)}),
    "last_events": lambda session: last_events(session, {f"job_{n:026}" for n in range(1, 50)}),
}


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    with database.engine.begin() as connection:
        for statement in FILL.split(";\n"):
            if statement:
                connection.execute(text(statement))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield database
    database.dispose()


def explained(session: ReadSession, ask: Callable[[Any], object]) -> str:
    """The plan of what a function asks, as it was executed."""
    asked: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        ask(session)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    statement, parameters = next(entry for entry in reversed(asked) if "FROM job" in entry[0])
    plan = session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters)
    return "\n".join(plan.scalars())


@pytest.mark.parametrize("name", QUERIES)
def test_on_many_jobs(filled, name):
    with filled.transaction() as session:
        plan = explained(session, QUERIES[name])
    assert "Seq Scan on job" not in plan, plan  # projects are few
    [read] = re.findall(r"^ *Buffers: shared hit=(\d+)", plan, re.MULTILINE)[:1]
    assert int(read) < 5 * UNFINISHED, plan
    assert "ix_jobs" in plan or "pk_jobs" in plan, plan
