"""The committed files are those that the console's source makes."""

from pathlib import Path

from app.console.built_files import FOLDER
from tests import npm

CONSOLE = Path(__file__).parents[2] / "console"


def test_the_committed_files_are_those_of_the_source(tmp_path: Path):
    npm.install(CONSOLE)
    npm.run("npm", "run", "build", "--", "--outDir", str(tmp_path), cwd=CONSOLE)
    assert contents(FOLDER) == contents(tmp_path), "run `make console` and commit what it builds"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
