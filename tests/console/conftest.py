"""One service and one browser for all tests of the console."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import npm
from tests.e2e.conftest import Stack, local_stack

FOLDER = Path(__file__).parent
PACKAGES = FOLDER / "node_modules"

_FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{packages}/dejavu-fonts-ttf/ttf</dir>
  <dir>{unpacked}/fonts</dir>
  <cachedir>{unpacked}/fonts-cache</cachedir>
  <alias><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""


def unpacked_browser() -> tuple[Path, dict[str, str]]:
    """The browser of an npm package, and the environment in which it finds its own libraries and fonts."""
    npm.install(FOLDER)
    unpacked = PACKAGES / ".chromium"
    unpacked.mkdir(exist_ok=True)
    with npm.taking_turns(FOLDER):
        # With the name of its home, the package unpacks the libraries too.
        path = npm.node(FOLDER / "browser.mjs", TMPDIR=str(unpacked), AWS_EXECUTION_ENV="24.x")
        (unpacked / "fonts.conf").write_text(_FONTS.format(packages=PACKAGES, unpacked=unpacked))
    libraries = {"LD_LIBRARY_PATH": str(unpacked / "al2023" / "lib"), "FONTCONFIG_PATH": str(unpacked)}
    return Path(path), os.environ | libraries


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path, environment = unpacked_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, env=environment, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API and one worker on SQLite and a folder."""
    with local_stack(tmp_path_factory.mktemp("console"), template=sqlite_template) as stack:
        stack.start_worker()
        yield stack
