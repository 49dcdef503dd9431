"""Every command of ``squeeze`` with its arguments and options, as ``--help`` says it."""

from collections.abc import Iterator
from typing import Any, Final

from squeeze_client.cli.app import make_app
from typer.main import get_command

from app.cli import add_commands

PATH: Final = "reference/command-line.md"


def command_line_pages() -> dict[str, str]:
    """Markdown by path in the documentation."""
    app = make_app()
    add_commands(app)
    root = get_command(app)
    lines = ["# Command line", "", root.help or "", "", root.epilog or "", ""]
    lines += ["`squeeze --install-completion` has your shell complete commands and options.", ""]
    for path, command in commands(root, "squeeze"):
        lines += _described(path, command)
    return {PATH: "\n".join(lines)}


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All that can be run, each with what is typed for it."""
    parts = getattr(command, "commands", None)
    if parts is None:
        yield path, command
    else:
        for name, part in parts.items():
            yield from commands(part, f"{path} {name}")


def _described(path: str, command: Any) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    yield from (f"## {path}", "", command.help or "", "")
    yield from ("```", command.get_usage(context).removeprefix("Usage: "), "```", "")
    if rows := [parameter.get_help_record(context) for parameter in command.params]:
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{_cell(row[0])}` | {_cell(row[1])} |" for row in rows if row is not None)
        yield ""
    if command.epilog:
        yield from (command.epilog, "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
