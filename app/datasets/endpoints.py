"""``/v1/datasets``."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, File, Form, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from app.core.db.datasets import get_dataset, list_datasets
from app.core.manifest import Split
from app.core.tasks import Task
from app.datasets import service
from app.datasets.intake import Columns, Table
from app.datasets.schemas import DatasetRead, LabelNames
from app.dependencies import Name, Page, PageDep, SessionDep, SettingsDep, StorageDep, page_of

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

T = TypeVar("T")

_TABLE = "A table: .jsonl, .csv, .tsv or .parquet, each also .gz."


@router.post("", status_code=201)
def create(
    session: SessionDep,
    storage: StorageDep,
    settings: SettingsDep,
    response: Response,
    train: Annotated[UploadFile, File(description=_TABLE)],
    dev: Annotated[UploadFile, File(description="Chooses the best student, and measures it.")],
    name: Annotated[Name, Form()] = "data set",
    test: Annotated[UploadFile | None, File(description="Looked at once, at the end.")] = None,
    unlabeled: Annotated[
        UploadFile | None, File(description="Texts to distil on; labels are not read.")
    ] = None,
    task: Annotated[Task, Form()] = "text_classification",
    columns: Annotated[
        str | None, Form(description='JSON, such as `{"text": "sentence", "text_pair": null, "label": "y"}`.')
    ] = None,
    labels: Annotated[
        str | None, Form(description="JSON list of the label names in order; default: sorted.")
    ] = None,
) -> DatasetRead:
    """Register a data set: the splits, the labels and their balance, and how long the texts are.

    Labels are names or whole numbers. Whole numbers are indices into `labels` where that is given.
    """
    uploads: dict[Split, UploadFile | None] = {
        "train": train,
        "dev": dev,
        "test": test,
        "unlabeled": unlabeled,
    }
    dataset = service.register(
        session,
        storage,
        {split: Table(file.file, file.filename or "") for split, file in uploads.items() if file is not None},
        name=name,
        task=task,
        columns=_parse("columns", TypeAdapter(Columns), columns) if columns else Columns(),
        labels=_parse("labels", LabelNames, labels) if labels else None,
        settings=settings,
    )
    response.headers["location"] = f"/v1/datasets/{dataset.id}"
    return DatasetRead.of(dataset)


@router.get("")
def list_page(page: PageDep, session: SessionDep) -> Page[DatasetRead]:
    """All data sets, newest first."""
    rows = list_datasets(session, limit=page.limit + 1, after=page.after)
    return page_of(DatasetRead.of, rows, limit=page.limit)


@router.get("/{dataset_id}")
def get(dataset_id: str, session: SessionDep) -> DatasetRead:
    """One data set."""
    return DatasetRead.of(get_dataset(session, dataset_id))


@router.delete("/{dataset_id}", status_code=204)
def delete(dataset_id: str, session: SessionDep, storage: StorageDep) -> None:
    """Remove a data set and its files. One that an unfinished job needs stays."""
    service.delete_dataset(session, storage, dataset_id)


def _parse(field: str, adapter: TypeAdapter[T], text: str) -> T:
    """A form field that holds JSON."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        faults: list[Any] = [{**fault, "loc": ("body", field, *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None
