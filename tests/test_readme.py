"""The README's table of methods is made of their specs: ``python -m tests.test_readme`` writes it anew."""

import re
from pathlib import Path

from app.domain.methods import METHOD_SPECS
from app.domain.methods.card import ALL_TASKS
from app.domain.tasks import Task

README = Path(__file__).parent.parent / "README.md"
_TABLE = re.compile(r"\| method \| what it does \| tasks \|\n(?:\|.*\n)+")


def method_table() -> str:
    rows = [
        f"| `{name}` | {(spec.__doc__ or '').strip().removesuffix('.')} | {tasks_of(spec.card.tasks)} |"
        for name, spec in METHOD_SPECS.items()
    ]
    return "\n".join(["| method | what it does | tasks |", "|---|---|---|", *rows]) + "\n"


def tasks_of(tasks: list[Task]) -> str:
    missing = [task for task in ALL_TASKS if task not in tasks]
    match missing:
        case []:
            return "all"
        case [one]:
            return f"all but {one}"
        case _:
            return ", ".join(tasks)


def test_the_table_of_methods_is_that_of_their_specs():
    assert _TABLE.findall(README.read_text()) == [method_table()], "python -m tests.test_readme writes it"


if __name__ == "__main__":
    README.write_text(_TABLE.sub(lambda _: method_table(), README.read_text()))
