"""Who writes about which job, as PostgreSQL itself sees it: a worker that does not hold the job is stale."""

from collections.abc import Mapping

from sqlalchemy import text

from app.core.db import Database

_TRIGGERS = """
create table chaos_writes (
    at timestamptz default clock_timestamp(), writer text, subject text, job_id text, owner text, attempt int
);

create function chaos_note() returns trigger language plpgsql as $$
begin
    insert into chaos_writes (writer, subject, job_id, owner, attempt)
        select current_setting('application_name'), tg_argv[0], id, lease_owner, jobs.attempt
        from jobs where id = new.job_id;
    return new;
end $$;

create function chaos_note_progress() returns trigger language plpgsql as $$
begin
    insert into chaos_writes (writer, subject, job_id, owner, attempt)
        values (current_setting('application_name'), 'progress', old.id, old.lease_owner, old.attempt);
    return new;
end $$;

create trigger chaos_events before insert on job_events
    for each row when (new.kind <> 'status') execute function chaos_note('event');
create trigger chaos_checkpoints before insert or update on job_checkpoints
    for each row execute function chaos_note('checkpoint');
create trigger chaos_models before insert on models
    for each row when (new.job_id is not null) execute function chaos_note('student');
create trigger chaos_progress before update on jobs
    for each row when (new.progress::text <> old.progress::text) execute function chaos_note_progress();
"""


def begin(database: Database) -> None:
    """Note, from now on, each write that only the holder of a job may make."""
    with database.transaction() as session:
        session.execute(text(_TRIGGERS))


def stale_writes(database: Database, worker_names: Mapping[str, str]) -> list[str]:
    """Writes by others than the job's owner at that moment.

    Args:
        database: the audited one.
        worker_names: how a worker is called as an owner, by its name on connections.
    """
    with database.reading() as session:
        rows = session.execute(text("select at, writer, subject, job_id, owner from chaos_writes")).all()
    return [
        f"{at}: {writer} wrote a {subject} of {job_id}, which {owner} held"
        for at, writer, subject, job_id, owner in rows
        if worker_names.get(writer, writer) != owner
    ]


def count_writes(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(text("select count(*) from chaos_writes")) or 0
