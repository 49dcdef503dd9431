"""The report of a job."""

from typing import Any

from pydantic import PrivateAttr

from squeeze_client.responses import ReportData


class Report(ReportData):
    """What a job measured: teacher, student, its files and controls on the same rows."""

    _markdown: str = PrivateAttr(default="")

    @classmethod
    def of(cls, body: Any, *, markdown: str) -> "Report":
        """A report and its text."""
        report = cls.model_validate(body)
        report._markdown = markdown  # noqa: SLF001
        return report

    @property
    def markdown(self) -> str:
        """The report as text."""
        return self._markdown

    def show(self) -> None:
        """Print the report: with tables where Rich is installed, and as Markdown elsewhere."""
        try:
            from rich.console import Console
            from rich.markdown import Markdown
        except ImportError:
            print(self._markdown)  # noqa: T201
        else:
            Console().print(Markdown(self._markdown))

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return self._markdown
