"""How a page looks, and whether everyone can use it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

from tests.console.conftest import PACKAGES

PICTURES: Final = Path(__file__).parents[2] / "build" / "console"
_AXE: Final = (PACKAGES / "axe-core" / "axe.min.js").read_text
_WIDE, _PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
_LOOKS: Final[Sequence[tuple[str, str, Any, str]]] = (
    ("dark", "dark", _WIDE, "{runOnly: ['color-contrast']}"),
    ("phone", "light", _PHONE, "{runOnly: ['scrollable-region-focusable']}"),
    ("light", "light", _WIDE, "{resultTypes: ['violations']}"),
)
"""The name, colour scheme and size of each, and what axe is to check that the others do not show."""


def look_at(page: Page, name: str) -> None:
    """Picture a page in light, in dark and on a phone: it fits there, and axe finds nothing serious."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    for look, scheme, size, checks in _LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(size)
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond == 0, f"{name}, {look}: {beyond} pixels too wide"
        page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
        assert faults(page, checks) == [], f"{name}, {look}"


def picture_for_readme(page: Page, name: str) -> None:
    """To be copied to ``docs/images`` after a change of the page."""
    page.screenshot(path=PICTURES / f"readme-{name}.png")


def faults(page: Page, checks: str) -> list[str]:
    """Serious and critical ones that axe finds."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE())
    found = page.evaluate(f"axe.run(document, {checks})")
    return [
        f"{fault['id']}: {fault['help']} {fault['nodes'][0]['html'][:200]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
