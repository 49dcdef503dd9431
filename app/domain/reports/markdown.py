"""A report as Markdown."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from app.domain.reports.tables import Report, Table, report_tables

_SPECIAL: Final = re.compile(r"([\\`*_\[\]{}<>|#!~$&])")


def report_markdown(report: Report, *, with_texts: bool) -> str:
    """The whole report; ``with_texts`` says whether rows of the data set are shown.

    Names and texts come from strangers: whatever Markdown or HTML would mean in them is escaped.
    """
    return "\n".join(_lines(report, with_texts=with_texts)) + "\n"


def _lines(report: Report, *, with_texts: bool) -> Iterator[str]:
    yield from (f"# {_plain(report.title)}", "")
    for name, value in report.facts.items():
        yield f"- {_plain(name)}: {_plain(value)}"
    for heading, sentences in (("Publish gate", report.gate), ("Warnings", report.warnings)):
        if sentences:
            yield from ("", f"## {heading}", "")
            yield from (f"- {_plain(sentence)}" for sentence in sentences)
    for table in report_tables(report, with_texts=with_texts):
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield from ("", f"## {_plain(table.title)}", "")
    yield _row(table.columns)
    yield "|" + "---|" * len(table.columns)
    yield from map(_row, table.rows)
    if table.note:
        yield from ("", _plain(table.note))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
