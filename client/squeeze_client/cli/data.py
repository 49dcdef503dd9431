"""``squeeze data``."""

from pathlib import Path
from typing import Annotated

import typer

from squeeze_client.cli.app import Json, connect

app = typer.Typer(help="Upload, list and delete data sets.", no_args_is_help=True)


@app.command(epilog="Example: squeeze data push train.jsonl --dev dev.jsonl --column label=sentiment")
def push(
    context: typer.Context,
    train: Annotated[Path, typer.Argument(help="File of the train split, or a folder with all splits.")],
    dev: Annotated[Path | None, typer.Option(help="Measures, and selects the best checkpoint.")] = None,
    test: Annotated[Path | None, typer.Option(help="Evaluated once, at the end.")] = None,
    unlabeled: Annotated[Path | None, typer.Option(help="Rows without labels.")] = None,
    name: Annotated[str | None, typer.Option(help="In lists; default: the file's or folder's.")] = None,
    task: Annotated[str, typer.Option(help="Task of the data.")] = "text_classification",
    column: Annotated[list[str] | None, typer.Option(help="FIELD=COLUMN, once for each.")] = None,
    labels: Annotated[str | None, typer.Option(help="In order of index, separated by commas.")] = None,
    as_json: Json = False,
) -> None:
    """Upload a data set, and say how it was read."""
    from squeeze_client.cli import output

    columns = dict(_pair(text) for text in column or [])
    with output.sending(f"Uploading {train}") as on_progress:
        dataset = connect(context).data.push(
            train,
            dev=dev,
            test=test,
            unlabeled=unlabeled,
            name=name or train.name.partition(".")[0] or "data set",
            task=task,
            columns=columns or None,
            labels=labels.split(",") if labels else None,
            on_progress=on_progress,
        )
    if as_json:
        output.print_json(dataset)
        return
    print(dataset.id)
    rows = ", ".join(f"{name} {split.rows:,} rows" for name, split in dataset.splits.items())
    output.errors.print(f"{rows}; {len(dataset.labels)} labels" if dataset.labels else rows)


@app.command("list", epilog="Example: squeeze data list")
def list_datasets(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List data sets, newest first."""
    from squeeze_client.cli import output

    datasets = list(connect(context).data.list(limit=limit))
    if as_json:
        output.print_json(datasets)
        return
    output.print_rows(
        ["id", "name", "task", "rows", "labels", "created"],
        [[d.id, d.name, d.task, d.rows, len(d.labels) or None, d.created_at] for d in datasets],
    )


@app.command(epilog="Example: squeeze data show dst_...")
def show(context: typer.Context, dataset: str, as_json: Json = False) -> None:
    """Show a data set."""
    from squeeze_client.cli import output

    found = connect(context).data.get(dataset)
    if as_json:
        output.print_json(found)
        return
    rows = {name: split.rows for name, split in found.splits.items()}
    fields = ("id", "name", "task", "labels", "size_bytes", "created_at")
    output.print_fields({**{name: getattr(found, name) for name in fields}, "rows": rows})


@app.command(epilog="Example: squeeze data delete dst_...")
def delete(context: typer.Context, dataset: str, as_json: Json = False) -> None:
    """Delete a data set and its files."""
    from squeeze_client.cli import output

    connect(context).data.delete(dataset)
    output.print_json({"deleted": dataset}) if as_json else print(f"deleted {dataset}")


def _pair(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not (field and equals and column):
        raise typer.BadParameter(f"{text!r}: write FIELD=COLUMN, such as label=sentiment")
    return field, column
