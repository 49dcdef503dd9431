"""The pages of the site in their order, and ``llms.txt``, the short index of them.

``python -m reference_pages.index`` writes it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from reference_pages.hooks import generated_pages

ROOT: Final = Path(__file__).parent.parent


def nav_pages() -> list[str]:
    """Paths in the documentation, in the order of the navigation."""
    return [path for _, path in _entries(_nav())]


def llms_index() -> str:
    """A title and a link for each page, by section."""
    generated = generated_pages()
    lines = [
        "# Squeeze",
        "",
        "> Compression of transformers as a service: upload a model and data, get a served student.",
    ]
    section = ""
    for name, path in _entries(_nav()):
        if name != section:
            section = name
            lines += ["", f"## {section}", ""]
        text = generated.get(path) or (ROOT / "docs" / path).read_text()
        note = " (made by `make docs`)" if path in generated else ""
        lines.append(f"- [{text.splitlines()[0].removeprefix('# ')}](docs/{path}){note}")
    return "\n".join(
        [*lines, "- [OpenAPI](tests/app/openapi.json): every operation, as `/openapi.json` of a server", ""]
    )


def _nav() -> list[dict[str, Any]]:
    nav: list[dict[str, Any]] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    return nav


def _entries(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The section of each page, and its path."""
    for entry in nav:
        for name, content in entry.items():
            yield from ((name, path) for path in ([content] if isinstance(content, str) else content))


if __name__ == "__main__":
    (ROOT / "llms.txt").write_text(llms_index())
