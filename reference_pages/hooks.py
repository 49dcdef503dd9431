"""What MkDocs calls: adds the generated pages, and those that lie elsewhere, when the site is built."""

from functools import cache
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reference_pages.api import api_pages
from reference_pages.command_line import command_line_pages
from reference_pages.failures import failure_pages
from reference_pages.methods import measured_students, method_pages

ROOT: Final = Path(__file__).parent.parent


@cache
def generated_pages() -> dict[str, str]:
    """Markdown by path in the documentation."""
    copies = {name.lower(): (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "CHANGELOG.md")}
    return method_pages() | api_pages() | failure_pages() | command_line_pages() | copies


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - as MkDocs passes them
    return markdown.replace("<!-- measured methods -->", measured_students())
