"""What the server adds to the command ``squeeze``, which belongs to the client's package."""

import signal
import sys
from collections.abc import Callable, Sequence

import typer
from squeeze_client.command import run

from app.commands import access, service
from app.commands.doctor import doctor


def register(app: typer.Typer) -> None:
    """Make the command the server's, too."""
    # SIGTERM unwinds as Ctrl-C does, so that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    add_commands(app)


def add_commands(app: typer.Typer) -> None:
    """Add the server's commands."""
    examples: dict[Callable[..., None], str] = {
        service.up: "squeeze up --port 8080",
        service.api: "SQUEEZE_PORT=8080 squeeze api",
        service.serve: "squeeze serve --workers 2",
        service.worker: "squeeze worker",
        service.migrate: "squeeze migrate",
        service.sweep: "squeeze sweep --dry-run",
        service.demo: "squeeze demo --data ./sst2",
    }
    for command, example in examples.items():
        app.command(epilog=f"Example: {example}")(command)
    app.command("signing-key", epilog="Example: squeeze signing-key > key.pem")(service.signing_key)
    app.command("doctor", epilog="Example: squeeze doctor --json")(doctor)
    app.add_typer(access.projects, name="projects")
    app.add_typer(access.keys, name="keys")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``squeeze`` with the server's commands; the exit status."""
    return run([register], arguments)


if __name__ == "__main__":
    sys.exit(main())
