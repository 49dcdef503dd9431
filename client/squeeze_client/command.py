"""The command ``squeeze``."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

GROUP = "squeeze.commands"
"""Entry points of other packages: functions that add commands to the Typer app they are given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with what installed packages add to it; the exit status."""
    return run([entry.load() for entry in entry_points(group=GROUP)], arguments)


def run(additions: Sequence[Callable[[Any], None]], arguments: Sequence[str] | None = None) -> int:
    """Run the command with these additions; the exit status."""
    if find_spec("typer") is None:
        print("squeeze: the command needs its extra: pip install 'squeeze-client[cli]'", file=sys.stderr)
        return 2
    from squeeze_client.cli.app import make_app

    app = make_app()
    for add in additions:
        add(app)
    try:
        app(args=arguments, prog_name="squeeze")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
