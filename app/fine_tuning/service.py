"""Making a job of what a client of OpenAI's API asks for."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.core.db import ProjectDatabase, ProjectWriteSession
from app.core.db.fine_tuning import FineTuningRequest
from app.core.db.jobs import Job
from app.core.db.models import Model, get_model
from app.core.db.uploads import Upload
from app.core.db.usage import require_room
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from app.datasets import service as datasets
from app.domain.documents import JobSpec
from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest, NotFound, SqueezeError
from app.domain.tasks import Task
from app.fine_tuning.schemas import FineTuningJobCreate
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import Table, is_archive
from app.jobs.service import create_job as queue_job
from app.uploads.service import get_whole, opened

_OF_AN_ENCODER: Final[Task] = "text_classification"
_POINTERS: Final[Mapping[str, str]] = {
    "#/teacher": "#/model",
    "#/dataset": "#/training_file",
    "#/train": "#/training_file",
    "#/dev": "#/validation_file",
}
"""Where a body names what routes that this stands on have other names for."""


def create_job(
    session: ProjectWriteSession,
    asked: FineTuningJobCreate,
    *,
    database: ProjectDatabase,
    storage: Storage,
    queue: Queue,
    settings: Settings,
) -> tuple[Job, FineTuningRequest]:
    """Register a data set of the files, where files are given, and queue a job.

    Args:
        session: in which nothing has been asked yet: no transaction is open while tables are read.
        asked: the body.
        database: to look files and the model up before that.
        storage: has the files and gets the data set.
        queue: gets the job.
        settings: how large tables may be.

    Raises:
        NotFound: the model, a file or the data set does not exist.
        InvalidRequest: they do not fit one another, or a table cannot be taken as it is.
        Conflict: the model cannot be used.
        TooLarge: more rows or bytes than this server takes.
        Forbidden: the project may store no more.
        RateLimited: it may have no more jobs queued.
        RequestValidationError: what is said of the job is wrong in itself.
    """
    with _named_as_in_the_body():
        with database.reading() as reading:
            model = get_model(reading, asked.model)
            require_room(reading)  # before anything is read
        dataset_id = asked.training_file
        if not asked.names_dataset:
            tables = _tables(database, asked)
            dataset_id = _register(session, storage, tables, asked, model, settings)
        job = queue_job(session, queue, _spec(asked, dataset_id, model))
    request = FineTuningRequest(
        job_id=job.id,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
        metadata_json=asked.metadata or {},
    )
    session.add(request)
    session.flush()
    return job, request


def _tables(database: ProjectDatabase, asked: FineTuningJobCreate) -> dict[Split, Upload]:
    files: dict[Split, Upload] = {"train": _whole(database, asked.training_file, "#/training_file")}
    if asked.validation_file is not None:
        files["dev"] = _whole(database, asked.validation_file, "#/validation_file")
    elif not is_archive(files["train"].filename):
        raise InvalidRequest(
            "validation_file_required",
            "There is no validation_file. Give one: the best checkpoint is selected and measured on it.",
            pointer="#/validation_file",
        )
    return files


def _whole(database: ProjectDatabase, file_id: str, pointer: str) -> Upload:
    try:
        return get_whole(database, file_id, pointer=pointer)
    except NotFound:
        error = NotFound("file", file_id)
        error.pointer = pointer
        raise error from None


def _register(
    session: ProjectWriteSession,
    storage: Storage,
    files: Mapping[Split, Upload],
    asked: FineTuningJobCreate,
    model: Model,
    settings: Settings,
) -> str:
    task = asked.task or (None if model.is_unread else model.manifest.task) or _OF_AN_ENCODER
    with ExitStack() as stack:
        tables = {
            split: Table(stack.enter_context(opened(storage, file)), file.filename)
            for split, file in files.items()
        }
        upload = datasets.Upload(
            tables,
            task,
            asked.columns or ColumnNames(),
            asked.labels,
            asked.label_type,
            asked.teacher_scores_are,
        )
        name = files["train"].filename[:200] or "data set"
        return datasets.register(session, storage, upload, name=name, settings=settings).id


def _spec(asked: FineTuningJobCreate, dataset_id: str, model: Model) -> JobSpec:
    try:
        return JobSpec.model_validate(asked.job(dataset=dataset_id, model_name=model.name))
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None


@contextmanager
def _named_as_in_the_body() -> Iterator[None]:
    try:
        yield
    except SqueezeError as error:
        error.pointer = _POINTERS.get(error.pointer or "", error.pointer)
        raise
