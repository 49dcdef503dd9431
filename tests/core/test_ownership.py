"""A project's session finds, changes and adds rows of that project alone, however a query is written."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, exists, func, insert, literal, select, text, union_all, update
from sqlalchemy.orm import aliased, selectinload

from app.core.db import DEFAULT_PROJECT, Base, Database, ProjectDatabase
from app.core.db.base import database_time
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job, JobEvent, JobInput, append_event
from app.core.db.models import Model
from app.core.db.orphans import Orphan
from app.core.db.ownership import Owned
from app.core.db.projects import Project
from app.core.db.signing_keys import SigningKey
from app.core.db.stage_times import StageTimes
from app.core.db.workers import WorkerRow
from app.domain.documents.events import Message

OTHER = "prj_" + "1" * 26


@pytest.fixture
def mine(database: Database) -> ProjectDatabase:
    return database.of(DEFAULT_PROJECT)


@pytest.fixture
def others(database: Database) -> ProjectDatabase:
    with database.transaction() as session:
        session.add(Project(id=OTHER, name="other"))
    return database.of(OTHER)


@pytest.fixture
def ids(mine: ProjectDatabase, others: ProjectDatabase) -> dict[str, str]:
    """Of a job, with its model, its data set and an event, in each of the two projects."""
    ids = {}
    for database in (mine, others):
        with database.transaction() as session:
            model = Model(name="m", origin="upload", manifest_json={})
            dataset = Dataset(name="d", manifest_json={})
            session.add_all([model, dataset])
            session.flush()
            job = Job(spec={}, dataset_id=dataset.id, method="scratch", inputs={"teacher": model.id})
            session.add(job)
            session.flush()
            append_event(session, job.id, Message(text="hello"))
            ids[database.project_id] = job.id
    return ids


def test_every_table_belongs_to_projects():
    """But for what clients never see, which is named here."""
    tables = {mapper.class_ for mapper in Base.registry.mappers}
    assert {table for table in tables if not issubclass(table, Owned)} == {
        Orphan,
        SigningKey,
        StageTimes,
        WorkerRow,
    }


Other = aliased(Job)
QUERIES = {
    "entities": select(Job.id),
    "a whole entity": select(Job),
    "an alias": select(Other.id),
    "a count": select(func.count()).select_from(Job).having(func.count() > 0),
    "a count of a column": select(func.count(Job.id)).having(func.count(Job.id) > 0),
    "a largest value": select(func.max(Job.id)).having(func.max(Job.id).is_not(None)),
    "conditions alone": select(literal(1)).where(Job.id != ""),
    "a join": select(Model.id).join(JobInput, JobInput.model_id == Model.id).join(Job),
    "parts of jobs": select(JobEvent.seq),
    "other parts": select(JobInput.model_id),
    "a part's largest number": select(func.max(JobEvent.seq)).having(func.max(JobEvent.seq).is_not(None)),
    "a subquery": select(literal(1)).select_from(Model).where(exists().where(Job.id != "")),
    "an entity's subquery": select(select(Job.id).subquery().c.id),
    "a subquery in a list": select(Dataset.id).where(Dataset.id.in_(select(Job.dataset_id))),
    "a scalar subquery": select(literal(1)).where(select(func.max(JobEvent.seq)).scalar_subquery() > 0),
    "a union": union_all(select(Job.id), select(Model.id)),
    "a common table": select(select(Job.id).cte().c.id),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries(ids: dict[str, str], mine: ProjectDatabase, database: Database, query: object):
    """Each finds the project's rows, not another's, and nothing for a project that has none."""
    nobody = database.of("prj_" + "2" * 26)
    with mine.reading() as session, nobody.reading() as empty:
        found = session.execute(query).all()
        assert found
        assert ids[OTHER] not in [getattr(value, "id", value) for row in found for value in row]
        assert empty.execute(query).all() == []


def test_each_project_gets_its_own_from_one_statement(ids: dict[str, str], database: Database):
    """Statements are compiled once for all projects."""
    query = select(Job.id)
    for _ in range(2):
        for project_id, job_id in ids.items():
            with database.of(project_id).reading() as session:
                assert session.scalars(query).all() == [job_id]


def test_by_id(ids: dict[str, str], mine: ProjectDatabase):
    with mine.transaction() as session:
        assert session.get(Job, ids[OTHER]) is None
        assert session.get(Job, ids[OTHER], with_for_update=True) is None
        assert session.get(Project, OTHER) is None
        job = session.get(Job, ids[DEFAULT_PROJECT])
        session.refresh(job)
        assert job.inputs.keys() == {"teacher"}
        assert session.scalars(select(Job).options(selectinload(Job.input_rows))).one().inputs


def test_changes(ids: dict[str, str], mine: ProjectDatabase, others: ProjectDatabase):
    with mine.transaction() as session:
        session.execute(update(Model).values(name="changed"))
        session.execute(delete(JobEvent))
    with others.reading() as session:
        assert session.scalars(select(Model.name)).all() == ["m"]
        assert session.scalars(select(JobEvent.seq)).all() == [1]
    with mine.reading() as session:
        assert session.scalars(select(JobEvent.seq)).all() == []


def test_new_rows_are_the_project_s(ids: dict[str, str], others: ProjectDatabase):
    with others.reading() as session:
        assert session.scalars(select(Model.project_id)).all() == [OTHER]


def test_rows_of_another_project_are_not_written(
    ids: dict[str, str], mine: ProjectDatabase, database: Database
):
    with database.transaction() as session:
        foreign = session.get(Job, ids[OTHER])
    foreign.attempt = 7
    with pytest.raises(TypeError, match=OTHER), mine.transaction() as session:
        session.add(Model(name="m", origin="upload", manifest_json={}, project_id=OTHER))
    with pytest.raises(TypeError, match=OTHER), mine.transaction() as session:
        session.add(foreign)
    with pytest.raises(TypeError, match=OTHER), mine.transaction() as session:
        session.delete(foreign)


@pytest.mark.parametrize(
    "statement",
    [
        text("select 1"),
        select(Job.__table__.c.id),
        select(literal(1)).select_from(Job.__table__),
        select(literal(1)).where(Job.__table__.c.id != ""),
        select(literal(1)).where(exists().where(Job.id != "")),
        delete(Job.__table__),
        insert(Project).values(name="x"),
    ],
    ids=[
        "text",
        "columns",
        "a from clause",
        "a condition",
        "an entity in a subquery alone",
        "a deletion",
        "an insertion",
    ],
)
def test_what_cannot_be_narrowed_is_refused(mine: ProjectDatabase, statement: object):
    with pytest.raises(TypeError, match="session"), mine.transaction() as session:
        session.execute(statement)


def test_the_time_is_nobody_s(mine: ProjectDatabase):
    with mine.reading() as session:
        assert database_time(session).tzinfo is not None


@pytest.fixture
def without_the_tests_default() -> Iterator[None]:
    from sqlalchemy import event

    from app.core.db import WriteSession
    from tests.conftest import own_by_default

    event.remove(WriteSession, "before_flush", own_by_default)
    yield
    event.listen(WriteSession, "before_flush", own_by_default, insert=True)


@pytest.mark.usefixtures("without_the_tests_default")
def test_a_session_of_all_projects_needs_to_be_told(database: Database):
    with pytest.raises(TypeError, match="a new Model needs a project"), database.transaction() as session:
        session.add(Model(name="m", origin="upload", manifest_json={}))
