"""``squeeze up``, ``api``, ``worker``, ``migrate``, ``sweep``, ``signing-key`` and ``demo``."""

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer


def up(
    data_dir: Annotated[Path | None, typer.Option(help="Data folder (default: .squeeze).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for a free one (default: 8000).")
    ] = None,
) -> None:
    """Run everything on this machine: database, broker, API and one worker."""
    from app.core.logging import configure_logging
    from app.core.settings import load_settings
    from app.embedded import ServiceStopped, run_service

    given = {"data_dir": data_dir, "host": host, "port": port}
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
        return
    except ServiceStopped as error:
        print(f"squeeze: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


Workers = Annotated[
    int, typer.Option("--workers", metavar="N", help="Processes that share the port (default: 1).")
]


def api(workers: Workers = 1) -> None:
    """Run the API only."""
    _run_api("api", workers)


def serve(workers: Workers = 1) -> None:
    """Run predictions only, of models that are there."""
    _run_api("serve", workers)


def worker() -> None:
    """Run one worker only."""
    # It becomes the worker, which this package does not know: signals reach it as they come.
    _require_training()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.runner.main"])  # noqa: S606


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go, and when.")] = False,
) -> None:
    """Remove files that nobody needs any more, as workers do hourly."""
    sys.stdout.flush()
    flags = ["--dry-run"] if dry_run else []
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.runner.cleaning", *flags])  # noqa: S606


def migrate() -> None:
    """Upgrade the database to the latest schema."""
    from app.core.db.migrate import upgrade
    from app.core.settings import get_settings

    upgrade(get_settings().resolved_database_url)


def signing_key(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="First make a new key, which signs from now on.")
    ] = False,
) -> None:
    """Print the public key that verifies models' checksums."""
    from app.core.db import Database
    from app.core.settings import get_settings
    from app.signing.signer import all_keys, new_key, public_key

    database = Database(get_settings().resolved_database_url)
    try:
        if rotate:
            with database.transaction() as session:
                new_key(session)
        print(public_key(all_keys(database)[0]), end="")
    finally:
        database.dispose()


def demo(
    data: Annotated[
        Path | None, typer.Option(help="A folder with train.jsonl.gz, dev.jsonl.gz and meta.json.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Training epochs, for teacher and student.")] = None,
) -> None:
    """Compress a real transformer, end to end, over HTTP."""
    from app.demo.tour import run_tour

    _require_training()
    raise typer.Exit(run_tour(data, epochs=epochs))


def _run_api(role: Literal["api", "serve"], workers: int) -> None:
    from app.core.settings import get_settings
    from app.processes import run_api

    raise typer.Exit(run_api(role, get_settings(), processes=workers))


def _require_training() -> None:
    if find_spec("torch") is None:
        print("squeeze: a worker needs torch: pip install 'squeeze[worker]'", file=sys.stderr)
        raise typer.Exit(1)
