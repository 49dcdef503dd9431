"""``/v1/datasets``."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Annotated, Any, TypeVar, get_args

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from app.auth.routes import ProtectedRoute
from app.core.db import datasets
from app.core.db.usage import require_room
from app.datasets import service
from app.datasets.schemas import DatasetCheck, DatasetRead, LabelNames
from app.datasets.service import Upload
from app.dependencies import (
    DatabaseDep,
    Name,
    Page,
    PageDep,
    SettingsDep,
    StorageDep,
    UploadPlacesDep,
    page_of,
    require_known_fields,
)
from app.domain.documents.manifest import Split
from app.domain.tasks import TASKS, Task
from app.errors import problems
from app.idempotency.creation import CreationDep
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import LabelType, ScoresAre, Table, is_archive
from app.rows import UnreadableRow, read_row
from app.uploads.service import get_whole, opened
from app.uploads.service import remove as remove_upload

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=ProtectedRoute)

T = TypeVar("T")

_MAX_FIELDS = 20
"""Some are known; more are read so that a refusal can name those that are not."""

_NEEDED: Sequence[Split] = ("train", "dev")
_UPLOADS: TypeAdapter[dict[Split, str]] = TypeAdapter(dict[Split, str])
_TABLE = (
    "A table: .jsonl, .json, .csv, .tsv, .parquet, .arrow, .conll or .txt, each also .gz; or an archive with "
    "it: .zip, .tar or .tar.gz."
)

_COLUMNS = "\n".join(f"| `{task}` | {record.columns_help} |" for task, record in TASKS.items())

_CREATE = f"""\
Register a data set: validate every row and summarise the splits.

The answer says how the tables were read (`reading`): format and dialect, columns, the scheme of tags, rows
that were left out and why, what was repaired or assumed, and the first three rows. `?validate_only=true`
gives just that and stores nothing.

Columns by task; map other names with `columns`, nested ones as a path (`translation.de`), those of files
without a header by number (`"3"`):

| task | columns |
|---|---|
{_COLUMNS}

Any table may also have a `language` column. `language` and `text_pair` must be set in all rows of a table
or in none. Unlabeled rows for `token_classification` have `tokens`, or `text`, which is split into words
and punctuation marks.

Any table may have `teacher_scores`: what a teacher that is not registered here, such as a large language
model, an API or an ensemble, says of each row. Methods that learn from predictions then learn from these.

* For a label or a tag: `[0.1, 0.9]` in the order of the labels, `{{"no": 0.1, "yes": 0.9}}`,
  `{{"label": "yes", "score": 0.9}}`, or just `"yes"`. What is left of 1 is spread evenly over labels that are
  not named.
* For each of several labels: the same, but labels that are not named have probability 0, and a list of names
  means these labels and no others.
* For `token_classification`: a list with one of these for each token.
* For `text_regression` a number, for `translation` a text, for `sentence_embedding` a vector: a list of as
  many numbers in every row, beside a text alone.
* Of several teachers: an object from each teacher's name to what it says.

Numbers are probabilities, or logits if `teacher_scores_are` says so. In .csv, .tsv and .parquet lists and
objects are JSON text; a list of numbers in .parquet is read as it is. Rows may lack scores. Where the first
row of a split has scores and no label, the teacher's choices stand for the labels of all its rows.

Whitespace around labels, tags and .csv or .tsv column names is ignored. Rows in which a text or what is to be
predicted is null (in .csv and .tsv: empty) are left out and counted.

Labels are names or integers. Integers are indices into `labels` if it is given, or have the names that the
file has for them (`ClassLabel`); integer tags require one of the two. `-` and, where the other labels show
it, `-1` mean that a row has no label. For `multi_label_classification` each row may also have a list of 0 and
1, or a column of 0 and 1, for each label that `labels` names.

Tags are stored as IOB2, with `O`, `B-X` and `I-X` for each entity type X. IOB1, IO, IOE, BIOES, BILOU, BMES
and BMEWO are accepted, written as `B-X`, `B_X`, `B:X`, `X-B`, `b-x`, or `B` where there is one type: an `I-`
tag without a preceding tag of its type becomes `B-` and is counted in `repaired_tags`; in IO, consecutive
tags of one type are one entity. Texts with spans of characters, as annotation tools write them, are split
into words."""


async def read_fields(request: Request) -> None:
    """Look at the names of the form's fields: FastAPI drops those that the endpoint does not declare."""
    route: APIRoute = request.scope["route"]
    require_known_fields(await request.form(), [field.alias for field in route.dependant.body_params])


@router.post(
    "",
    status_code=201,
    description=_CREATE,
    dependencies=[Depends(read_fields)],
    response_model=DatasetRead,
    responses={
        200: {"model": DatasetCheck, "description": "With `validate_only`: how the tables were understood."},
        **problems(400, 404, 408, 409, 413, 422, 500, 503, 507),
    },
    form_limits={"max_files": len(get_args(Split)), "max_fields": _MAX_FIELDS},
)
async def create_dataset(
    database: DatabaseDep,
    storage: StorageDep,
    settings: SettingsDep,
    places: UploadPlacesDep,
    creation: CreationDep,
    train: Annotated[UploadFile | None, File(description=_TABLE)] = None,
    dev: Annotated[
        UploadFile | None, File(description="Selects the best checkpoint and measures it.")
    ] = None,
    name: Annotated[Name, Form()] = "data set",
    test: Annotated[UploadFile | None, File(description="Evaluated once, at the end.")] = None,
    unlabeled: Annotated[
        UploadFile | None,
        File(
            description="Unlabeled rows for distillation: the same columns without labels, scores, "
            "tags or translations; these are ignored. They may have `teacher_scores`."
        ),
    ] = None,
    task: Annotated[Task, Form()] = "text_classification",
    columns: Annotated[
        str | None,
        Form(
            description='JSON object from field to column name, such as `{"text": "sentence", "label": "y"}`.'
        ),
    ] = None,
    uploads: Annotated[
        str | None,
        Form(
            description="JSON object from split to the id of an upload that was sent in parts, for splits "
            "without a file here. The uploads are deleted once the data set is registered."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        Form(
            description="JSON list of the labels or tags, in order of their index; default: the names that "
            "the files have for integers, or sorted."
        ),
    ] = None,
    label_type: Annotated[
        LabelType | None,
        Form(description="Says that labels are booleans or floats, which are refused otherwise."),
    ] = None,
    teacher_scores_are: Annotated[
        ScoresAre,
        Form(description="What the numbers of `teacher_scores` are; log-probabilities are logits, too."),
    ] = "probabilities",
    validate_only: Annotated[
        bool, Query(description="Read the tables, say how they were understood, and store nothing.")
    ] = False,
) -> Any:
    """Register a data set."""
    files: dict[Split, UploadFile | None] = {
        "train": train,
        "dev": dev,
        "test": test,
        "unlabeled": unlabeled,
    }
    given = {split: file for split, file in files.items() if file is not None}
    sent_before = _parse("uploads", _UPLOADS, uploads) if uploads else {}
    may_hold_others = "train" in sent_before or (train is not None and is_archive(train.filename or ""))
    _require_splits(given.keys(), sent_before.keys(), needed=_NEEDED[:1] if may_hold_others else _NEEDED)
    names = _parse("columns", TypeAdapter(ColumnNames), columns) if columns else ColumnNames()
    label_names = _parse("labels", LabelNames, labels) if labels else None

    def uploaded(stack: ExitStack) -> Upload:
        tables = {split: Table(file.file, file.filename or "") for split, file in given.items()}
        for split, upload_id in sent_before.items():
            upload = get_whole(database, upload_id, pointer=f"#/uploads/{split}")
            tables[split] = Table(stack.enter_context(opened(storage, upload)), upload.filename)
        return Upload(tables, task, names, label_names, label_type, teacher_scores_are)

    def check() -> JSONResponse:
        with ExitStack() as stack, service.read(uploaded(stack), settings) as (manifest, _):
            read = DatasetCheck.of(manifest)
        return JSONResponse(read.model_dump(mode="json"))

    def register() -> DatasetRead:
        with creation.transaction(database) as session:
            with database.reading() as reading:
                require_room(reading)  # before anything is read
            with ExitStack() as stack:
                dataset = service.register(session, storage, uploaded(stack), name=name, settings=settings)
            for upload_id in set(sent_before.values()):
                remove_upload(session, storage, upload_id)
            read = read_row(DatasetRead.of, dataset)
            return creation.answer(session, read, location=f"/v1/datasets/{dataset.id}")

    return await places.run(check if validate_only else register)


@router.get("", responses=problems(422, 500, 503))
def list_datasets(page: PageDep, database: DatabaseDep) -> Page[DatasetRead | UnreadableRow]:
    """List data sets, newest first."""
    with database.reading() as session:
        rows = datasets.list_datasets(session, limit=page.limit + 1, after=page.after)
    return page_of(DatasetRead.of, rows, limit=page.limit)


@router.get("/{dataset_id}", responses=problems(404, 500, 503))
def get_dataset(dataset_id: str, database: DatabaseDep) -> DatasetRead:
    """Get a data set."""
    with database.reading() as session:
        return read_row(DatasetRead.of, datasets.get_dataset(session, dataset_id))


@router.delete("/{dataset_id}", status_code=204, responses=problems(404, 409, 500, 503, 507))
def delete_dataset(dataset_id: str, database: DatabaseDep, storage: StorageDep) -> None:
    """Delete a data set and its files. Refused while an unfinished job uses it."""
    with database.transaction() as session:
        service.delete_dataset(session, storage, dataset_id)


def _require_splits(files: Collection[Split], uploads: Collection[Split], *, needed: Sequence[Split]) -> None:
    """Raises RequestValidationError where a data set lacks what each needs, or has a split twice."""
    faults: list[dict[str, Any]] = [
        {"type": "missing", "loc": ("body", split), "msg": "Field required", "input": None}
        for split in needed
        if split not in files and split not in uploads
    ]
    faults += [
        {
            "type": "value_error",
            "loc": ("body", "uploads", split),
            "msg": "A file was given too",
            "input": None,
        }
        for split in uploads
        if split in files
    ]
    if faults:
        raise RequestValidationError(faults)


def _parse(field: str, adapter: TypeAdapter[T], text: str) -> T:
    """A form field that holds JSON."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        faults: list[Any] = [{**fault, "loc": ("body", field, *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None
