"""``client.data``."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from squeeze_client.archives import Progress
from squeeze_client.effects import Items, M, Steps, listing, operation
from squeeze_client.operations import call
from squeeze_client.resources import Resource, id_of, pages
from squeeze_client.responses import Dataset, DatasetCheck
from squeeze_client.sending import send
from squeeze_client.tables import Table, contents_of
from squeeze_client.uploads import upload


class Data(Resource[M]):
    """Data sets."""

    @operation
    def push(
        self,
        /,
        train: Table,
        *,
        dev: Table = None,
        test: Table = None,
        unlabeled: Table = None,
        name: str = "data set",
        task: str = "text_classification",
        columns: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        on_progress: Progress | None = None,
        **fields: str,
    ) -> Steps[Dataset]:
        """Upload a data set.

        Args:
            train: a file, a list of dicts, a pandas ``DataFrame`` or a ``datasets.Dataset``; or all splits in
                one: a folder or an archive with files named after them, a dict of tables, a ``DatasetDict``.
            dev: measures, and selects the best checkpoint; needed unless ``train`` holds it.
            test: is evaluated once, at the end.
            unlabeled: rows without labels for distillation.
            name: in lists.
            task: of the data.
            columns: names of the task's columns in the tables, where they differ.
            labels: in the order of their index.
            on_progress: is told how many bytes were sent, and of how many.
            fields: other fields of the form, such as ``teacher_scores_are``.

        Raises:
            NotUploadable: something is no table.
            ApiError: the service does not take it; ``faults`` say why.
        """
        form = _form(name, task, columns, labels, fields)
        splits = {"train": train, "dev": dev, "test": test, "unlabeled": unlabeled}
        answer = yield from _upload(splits, form, on_progress)
        return Dataset.model_validate(answer.json())

    @operation
    def check(
        self,
        /,
        train: Table,
        *,
        dev: Table = None,
        test: Table = None,
        unlabeled: Table = None,
        task: str = "text_classification",
        columns: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        **fields: str,
    ) -> Steps[DatasetCheck]:
        """Say how tables would be read, and store nothing."""
        form = _form("check", task, columns, labels, fields)
        splits = {"train": train, "dev": dev, "test": test, "unlabeled": unlabeled}
        answer = yield from _upload(splits, form, None, validate_only=True)
        return DatasetCheck.model_validate(answer.json())

    @listing
    def list(self, *, limit: int | None = None) -> Items[Dataset]:
        """Data sets, newest first."""
        return pages("listDatasets", Dataset.model_validate, limit=limit)

    @operation
    def get(self, dataset: str | Dataset) -> Steps[Dataset]:
        """A data set."""
        answer = yield from send(call("getDataset", {"dataset_id": id_of(dataset)}))
        return Dataset.model_validate(answer.json())

    @operation
    def delete(self, dataset: str | Dataset) -> Steps[None]:
        """Delete a data set and its files."""
        yield from send(call("deleteDataset", {"dataset_id": id_of(dataset)}))


def _form(
    name: str,
    task: str,
    columns: Mapping[str, str] | None,
    labels: Sequence[str] | None,
    fields: Mapping[str, str],
) -> dict[str, str]:
    form = {"name": name, "task": task, **fields}
    if columns is not None:
        form["columns"] = json.dumps(dict(columns))
    if labels is not None:
        form["labels"] = json.dumps(list(labels))
    return form


def _upload(
    splits: Mapping[str, Table], form: dict[str, str], progress: Progress | None, **params: Any
) -> Steps[httpx.Response]:
    return upload(
        "createDataset",
        form,
        contents_of(splits),
        refer=lambda ids: {"form": {**form, "uploads": json.dumps(ids)}},
        params=params,
        progress=progress,
    )
