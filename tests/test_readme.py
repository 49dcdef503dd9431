"""The README's table of methods and its list of families are made of specs and records.

``python -m tests.test_readme`` writes them anew.
"""

import re
from pathlib import Path

from app.domain.architectures import ENCODER_DECODERS, ENCODERS
from app.domain.methods import METHOD_SPECS
from app.domain.methods.card import ALL_TASKS
from app.domain.tasks import Task

README = Path(__file__).parent.parent / "README.md"
_TABLE = re.compile(r"\| method \| what it does \| tasks \|\n(?:\|.*\n)+")

_FAMILIES = re.compile(r"Encoders of the .* translation models\.\n")


def family_line() -> str:
    encoders, translators = (
        sorted((family.title for family in families.values()), key=str.lower)
        for families in (ENCODERS, ENCODER_DECODERS)
    )
    return (
        f"Encoders of the {_listed(encoders)} families are supported, with or without a task head, "
        f"and {_listed(translators)} translation models.\n"
    )


def _listed(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


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


def test_the_families_are_those_of_the_records():
    assert _FAMILIES.findall(README.read_text()) == [family_line()], "python -m tests.test_readme writes it"


if __name__ == "__main__":
    text = _TABLE.sub(lambda _: method_table(), README.read_text())
    README.write_text(_FAMILIES.sub(lambda _: family_line(), text))
