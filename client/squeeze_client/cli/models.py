"""``squeeze models``."""

from pathlib import Path
from typing import Annotated

import typer

from squeeze_client.cli.app import Json, connect

app = typer.Typer(help="Upload, list, download and delete models.", no_args_is_help=True)

Labels = Annotated[
    str | None, typer.Option(help="Names of the head's outputs, in order, separated by commas.")
]


@app.command(epilog="Example: squeeze models push ./my-bert --name teacher")
def push(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Folder, archive, or hub:owner/name[@revision].")],
    name: Annotated[str | None, typer.Option(help="In lists.")] = None,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Upload a model. pytorch_model.bin is converted first, on this machine."""
    from squeeze_client.cli import output

    client, names = connect(context), labels.split(",") if labels else None
    if source.startswith("hub:"):
        repository, _, revision = source.removeprefix("hub:").partition("@")
        model = client.models.pull(repository, revision=revision or "main", name=name, labels=names)
    else:
        with output.sending(f"Uploading {source}") as on_progress:
            model = client.models.push(Path(source), name=name, labels=names, on_progress=on_progress)
    if as_json:
        output.print_json(model)
        return
    print(model.id)
    for note in model.notes:
        output.errors.print(f"note: {note}")


@app.command("list", epilog="Example: squeeze models list --json")
def list_models(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List models, newest first."""
    from squeeze_client.cli import output

    models = list(connect(context).models.list(limit=limit))
    if as_json:
        output.print_json(models)
        return
    output.print_rows(
        ["id", "name", "status", "task", "parameters", "created"],
        [[m.id, m.name, m.status, m.task, m.parameters, m.created_at] for m in models],
    )


@app.command(epilog="Example: squeeze models show mdl_...")
def show(context: typer.Context, model: str, as_json: Json = False) -> None:
    """Show a model."""
    from squeeze_client.cli import output

    found = connect(context).models.get(model)
    if as_json:
        output.print_json(found)
        return
    fields = found.model_dump(include=set(type(found).model_fields), exclude={"manifest", "metrics"})
    output.print_fields({**fields, "notes": found.notes or None})


@app.command(epilog="Example: squeeze models download mdl_... ./student")
def download(
    context: typer.Context,
    model: str,
    folder: Annotated[Path, typer.Argument(help="Is made if there is none.")],
    as_json: Json = False,
) -> None:
    """Download all files of a model."""
    from squeeze_client.cli import output

    with output.sending(f"Downloading {model}") as on_progress:
        path = connect(context).models.download(model, folder, on_progress=on_progress)
    output.print_json({"folder": str(path)}) if as_json else print(path)


@app.command(epilog="Example: squeeze models delete mdl_...")
def delete(context: typer.Context, model: str, as_json: Json = False) -> None:
    """Delete a model and its files."""
    from squeeze_client.cli import output

    connect(context).models.delete(model)
    output.print_json({"deleted": model}) if as_json else print(f"deleted {model}")
