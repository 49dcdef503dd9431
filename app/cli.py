"""``squeeze …``: one command for each way to run."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from app.core.logging import configure_logging
from app.core.settings import get_settings, load_settings
from app.core.units import read_duration, read_size
from app.domain.scopes import SCOPES

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # SIGTERM unwinds as Ctrl-C does, so that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="squeeze",
        description="Model compression as a service: upload a transformer, name a target size, get a small "
        "served student.",
        epilog="Settings come from the environment (SQUEEZE_…); the README lists them.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="everything on this machine: database, broker, API and one worker")
    up.add_argument("--data-dir", type=Path, help="data folder (default: .squeeze)")
    up.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    up.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: 8000)")
    up.set_defaults(run=_up)

    for role, text in (("api", "the API only"), ("serve", "predictions only: of models that are there")):
        api = commands.add_parser(role, help=text)
        api.add_argument(
            "--workers", type=int, default=1, metavar="N", help="processes that share the port (default: 1)"
        )
        api.set_defaults(run=_api, role=role)

    for name, run, text in (
        ("worker", _worker, "one worker only"),
        ("migrate", _migrate, "upgrade the database to the latest schema"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)

    sweep = commands.add_parser("sweep", help="remove files that nobody needs any more, as workers do hourly")
    sweep.add_argument("--dry-run", action="store_true", help="only list what would go, and when")
    sweep.set_defaults(run=_sweep)

    _add_projects(commands)
    _add_keys(commands)

    signing = commands.add_parser("signing-key", help="print the public key that verifies models' checksums")
    signing.add_argument(
        "--rotate", action="store_true", help="first make a new key, which signs from now on"
    )
    signing.set_defaults(run=_signing_key)

    demo = commands.add_parser("demo", help="compress a real transformer, end to end, over HTTP")
    demo.add_argument("--data", type=Path, help="a folder with train.jsonl.gz, dev.jsonl.gz and meta.json")
    demo.add_argument("--epochs", type=float, help="training epochs, for teacher and student")
    demo.set_defaults(run=_demo)
    return parser


def _add_projects(commands: Subcommands) -> None:
    projects = _group(
        commands, "projects", "create, list and limit projects, which models, data and jobs belong to"
    )
    create = _command(projects, "create", "create_project", "create a project")
    create.add_argument("name")
    _command(projects, "list", "list_projects", "list projects")
    update = _command(projects, "update", "update_project", "change limits of a project")
    update.add_argument("project", help="name or id")
    for command in (create, update):
        for limit in ("stored-bytes", "queued-jobs", "running-jobs", "predictions-per-day"):
            command.add_argument(
                f"--max-{limit}", type=_limit, metavar="N", help="such as 1000, 50GB or none"
            )
        command.add_argument("--max-requests-per-minute", type=_limit, metavar="N", help="of each API key")


def _add_keys(commands: Subcommands) -> None:
    keys = _group(commands, "keys", "create, list, rotate and revoke API keys")
    create = _command(keys, "create", "create_key", "create an API key and print it, this once")
    create.add_argument("name", help="what the key is for")
    create.add_argument(
        "--scopes",
        type=_scopes,
        default=["read", "predict", "write"],
        help=f"some of {','.join(SCOPES)} (default: read,predict,write)",
    )
    create.add_argument("--expires-in", type=_duration, help="such as 90d (default: never)")
    listing = _command(keys, "list", "list_keys", "list the API keys of a project")
    for command in (create, listing):
        command.add_argument("--project", default="default", help="name or id (default: default)")
    rotate = _command(keys, "rotate", "rotate_key", "give an API key a new secret and print it, this once")
    rotate.add_argument(
        "--overlap",
        type=_duration,
        default=timedelta(days=1),
        help="how long the previous secret goes on working, such as 1h or 0s (default: 1d)",
    )
    revoke = _command(keys, "revoke", "revoke_key", "end an API key within seconds, for good")
    for command in (rotate, revoke):
        command.add_argument("key", help="id of the key")


def _group(commands: Subcommands, name: str, text: str) -> Subcommands:
    return commands.add_parser(name, help=text).add_subparsers(required=True, metavar="command")


def _command(group: Subcommands, name: str, function: str, text: str) -> argparse.ArgumentParser:
    """A command that ``app.projects.commands`` runs, which takes a while to import."""

    def run(options: argparse.Namespace) -> int:
        commands = import_module("app.projects.commands")
        status: int = getattr(commands, function)(options)
        return status

    parser: argparse.ArgumentParser = group.add_parser(name, help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _scopes(text: str) -> list[str]:
    scopes = text.split(",")
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise argparse.ArgumentTypeError(f"unknown scope {unknown[0]!r}; known are {', '.join(SCOPES)}")
    return scopes


def _duration(text: str) -> timedelta:
    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _limit(text: str) -> int:
    """A count, or bytes as people write them; -1 for none."""
    try:
        return -1 if text == "none" else read_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _up(options: argparse.Namespace) -> int:
    from app.embedded import ServiceStopped, run_service

    given = {name: getattr(options, name) for name in ("data_dir", "host", "port")}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.log_format, logging.WARNING)  # the parts of the service speak for themselves
    _require_training()
    try:
        with run_service(settings) as service:
            service.wait_until_ready()
            print(f"Squeeze listens on {service.url} (documentation: {service.url}/docs). Ctrl-C stops it.")
            print(f"API key, with all scopes: {service.key}", flush=True)
            service.wait()
    except KeyboardInterrupt:
        return 0
    except ServiceStopped as error:
        print(f"squeeze: {error}", file=sys.stderr)
        return 1


def _api(options: argparse.Namespace) -> int:
    settings = get_settings()
    from app.processes import run_api

    return run_api(options.role, settings, processes=options.workers)


def _worker(options: argparse.Namespace) -> int:  # noqa: ARG001
    """Become the worker, which this package does not know: signals reach it as they come."""
    _require_training()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.runner.main"])  # noqa: S606


def _sweep(options: argparse.Namespace) -> int:
    """Become a worker that only cleans up."""
    sys.stdout.flush()
    flags = ["--dry-run"] if options.dry_run else []
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.runner.cleaning", *flags])  # noqa: S606


def _signing_key(options: argparse.Namespace) -> int:
    from app.core.db import Database
    from app.signing.signer import all_keys, new_key, public_key

    database = Database(get_settings().resolved_database_url)
    try:
        if options.rotate:
            with database.transaction() as session:
                new_key(session)
        print(public_key(all_keys(database)[0]), end="")
    finally:
        database.dispose()
    return 0


def _migrate(options: argparse.Namespace) -> int:  # noqa: ARG001
    from app.core.db.migrate import upgrade

    upgrade(get_settings().resolved_database_url)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from app.demo.tour import run_tour

    _require_training()
    return run_tour(options.data, epochs=options.epochs)


def _require_training() -> None:
    if find_spec("torch") is None:
        raise SystemExit("squeeze: a worker needs torch: pip install 'squeeze[worker]'")


if __name__ == "__main__":
    sys.exit(main())
