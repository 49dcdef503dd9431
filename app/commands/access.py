"""``squeeze projects`` and ``squeeze keys``."""

from argparse import Namespace
from datetime import timedelta
from importlib import import_module
from typing import Annotated, Any

import typer

from app.core.units import read_duration, read_size
from app.domain.scopes import SCOPES

projects = typer.Typer(
    help="Create, list and limit projects, which models, data and jobs belong to.", no_args_is_help=True
)
keys = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)


def _limit(text: str) -> int:
    """A count, or bytes as people write them; -1 for none."""
    try:
        return -1 if text == "none" else read_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _duration(text: str) -> timedelta:
    try:
        return read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _scopes(text: str) -> list[str]:
    scopes = text.split(",")
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise typer.BadParameter(f"unknown scope {unknown[0]!r}; known are {', '.join(SCOPES)}")
    return scopes


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int | None, typer.Option(parser=_limit, metavar="N", help="Such as 1000, 50GB or none.")]
LimitOfKeys = Annotated[int | None, typer.Option(parser=_limit, metavar="N", help="Of each API key.")]
Project = Annotated[str, typer.Option(help="Name or id.")]
KeyId = Annotated[str, typer.Argument(help="Id of the key.")]


@projects.command("create", epilog="Example: squeeze projects create acme --max-running-jobs 2")
def create_project(
    name: str,
    max_stored_bytes: Limit = None,
    max_queued_jobs: Limit = None,
    max_running_jobs: Limit = None,
    max_predictions_per_day: Limit = None,
    max_requests_per_minute: LimitOfKeys = None,
    json: Json = False,
) -> None:
    """Create a project."""
    _run("create_project", **locals())


@projects.command("list", epilog="Example: squeeze projects list --json")
def list_projects(json: Json = False) -> None:
    """List projects."""
    _run("list_projects", **locals())


@projects.command("update", epilog="Example: squeeze projects update acme --max-stored-bytes 50GB")
def update_project(
    project: Annotated[str, typer.Argument(help="Name or id.")],
    max_stored_bytes: Limit = None,
    max_queued_jobs: Limit = None,
    max_running_jobs: Limit = None,
    max_predictions_per_day: Limit = None,
    max_requests_per_minute: LimitOfKeys = None,
    json: Json = False,
) -> None:
    """Change limits of a project."""
    _run("update_project", **locals())


@keys.command("create", epilog="Example: squeeze keys create ci --scopes read,write --expires-in 90d")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scopes: Annotated[
        Any, typer.Option(parser=_scopes, metavar="SCOPES", help=f"Some of {','.join(SCOPES)}.")
    ] = "read,predict,write",
    expires_in: Annotated[
        timedelta | None, typer.Option(parser=_duration, metavar="TIME", help="Such as 90d.")
    ] = None,
    project: Project = "default",
    json: Json = False,
) -> None:
    """Create an API key and print it, this once."""
    _run("create_key", **locals())


@keys.command("list", epilog="Example: squeeze keys list --project acme")
def list_keys(project: Project = "default", json: Json = False) -> None:
    """List the API keys of a project."""
    _run("list_keys", **locals())


@keys.command("rotate", epilog="Example: squeeze keys rotate key_... --overlap 1h")
def rotate_key(
    key: KeyId,
    overlap: Annotated[
        Any,
        typer.Option(parser=_duration, metavar="TIME", help="How long the previous secret goes on working."),
    ] = "1d",
    json: Json = False,
) -> None:
    """Give an API key a new secret and print it, this once."""
    _run("rotate_key", **locals())


@keys.command("revoke", epilog="Example: squeeze keys revoke key_...")
def revoke_key(key: KeyId, json: Json = False) -> None:
    """End an API key within seconds, for good."""
    _run("revoke_key", **locals())


def _run(function: str, **options: Any) -> None:
    """Run a command of ``app.projects.commands``, which takes a while to import."""
    status: int = getattr(import_module("app.projects.commands"), function)(Namespace(**options))
    raise typer.Exit(status)
