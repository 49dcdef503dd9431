"""The app, and what all its commands share: connection, exit statuses, ``--json``."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from squeeze_client import Squeeze

FAILED, USAGE, TIMED_OUT, NOT_ALLOWED, INTERRUPTED = 1, 2, 3, 4, 130

_EPILOG = (
    "Exit status: 0 done, 1 failed or refused, 2 wrong usage, 3 timed out, 4 no valid API key, "
    "130 interrupted. Settings come from SQUEEZE_URL and SQUEEZE_API_KEY."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass
class Connection:
    """Where the service is; kept by the context of a command."""

    url: str | None
    api_key: str | None

    def open(self) -> "Squeeze":
        from squeeze_client import Squeeze

        return Squeeze(self.url, api_key=self.api_key)


def connect(context: typer.Context) -> "Squeeze":
    """A client for a command."""
    connection: Connection = context.obj
    return context.with_resource(connection.open())


class Commands(TyperGroup):
    """Says in one line what went wrong, and ends with the status for it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            status = _status(error)
            if status is None:
                raise
            print(f"squeeze: {error}", file=sys.stderr)
            raise typer.Exit(status) from None


def _status(error: Exception) -> int | None:
    """The exit status that an error of the client stands for; None for others."""
    from squeeze_client import errors

    if not isinstance(error, errors.SqueezeError):
        return None
    if isinstance(error, errors.WaitTimeout):
        return TIMED_OUT
    if isinstance(error, errors.AuthenticationError | errors.PermissionDenied):
        return NOT_ALLOWED
    return USAGE if isinstance(error, errors.NotUploadable) else FAILED


def make_app() -> typer.Typer:
    """The app with the commands of a client."""
    from squeeze_client.cli import data, jobs, models

    app = typer.Typer(
        cls=Commands,
        help="Model compression as a service: upload a transformer, name a target size, get a small served "
        "student.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def connection(
        context: typer.Context,
        url: Annotated[
            str | None, typer.Option(envvar="SQUEEZE_URL", help="Of the service.", show_default=False)
        ] = None,
        api_key: Annotated[
            str | None, typer.Option(envvar="SQUEEZE_API_KEY", help="Needed from other machines.")
        ] = None,
    ) -> None:
        context.obj = Connection(url, api_key)

    app.add_typer(models.app, name="models")
    app.add_typer(data.app, name="data")
    app.add_typer(jobs.app, name="jobs")
    jobs.add_to(app)
    return app
