"""``squeeze doctor``: whether this machine can run the service as it is configured, and what to fix."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from app.core.settings import Settings

_LEAST_FREE_BYTES = 2 * 10**9
_PACKAGES = ("squeeze", "squeeze-client", "torch", "transformers", "onnxruntime", "fastapi", "sqlalchemy")


@dataclass(frozen=True)
class Finding:
    """What was checked, what was found, and what to do if that is not well."""

    name: str
    found: str
    fix: str | None = None


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check database, broker, store, disk, GPU and versions, and say what to fix. Status 1 if anything."""
    from app.core.settings import get_settings

    findings = list(examine(get_settings()))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = "ok  " if finding.fix is None else "FIX "
            print(f"{mark}{finding.name:<10} {finding.found}")
            if finding.fix is not None:
                print(f"    -> {finding.fix}")
    raise typer.Exit(int(any(finding.fix is not None for finding in findings)))


def examine(settings: Settings) -> Iterator[Finding]:
    """Check one thing after another."""
    checks: dict[str, Callable[[Settings], Finding]] = {
        "database": _database,
        "broker": _broker,
        "store": _store,
        "disk": _disk,
        "device": _device,
        "versions": _versions,
    }
    for name, check in checks.items():
        try:
            yield check(settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was found
            first = str(error).strip().partition("\n")[0][:200]
            yield Finding(name, f"{type(error).__name__}: {first}", _FIXES[name])


_FIXES = {
    "database": "Start the database, or correct SQUEEZE_DATABASE_URL.",
    "broker": "Start the broker, or correct SQUEEZE_BROKER_URL; without one workers poll the database.",
    "store": "Check SQUEEZE_STORAGE_URL, SQUEEZE_S3_ENDPOINT and the credentials in AWS_*.",
    "disk": "Point SQUEEZE_DATA_DIR to a folder that can be written to.",
    "device": "Install torch: pip install 'squeeze[worker]'.",
    "versions": "Install Squeeze again.",
}


def _database(settings: Settings) -> Finding:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine, make_url

    from app.core.db.migrate import alembic_config

    url = make_url(settings.resolved_database_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return Finding("database", f"{shown} does not exist yet; `squeeze up` or `squeeze migrate` makes it")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    newest = ScriptDirectory.from_config(alembic_config(settings.resolved_database_url)).get_current_head()
    if current != newest:
        return Finding("database", f"{shown} has schema {current}, not {newest}", "Run `squeeze migrate`.")
    return Finding("database", f"{shown}, schema {current}")


def _broker(settings: Settings) -> Finding:
    from app.embedded import valkey_binary

    if settings.broker_url is None:
        own = "`squeeze up` starts its own" if valkey_binary() else "workers poll the database"
        return Finding("broker", f"none configured: {own}")
    import redis

    with redis.Redis.from_url(_redis_url(settings.broker_url), socket_timeout=3) as client:
        client.ping()
    return Finding("broker", "responds")


def _redis_url(url: str) -> str:
    return url.replace("redis+socket://", "unix://", 1)


def _store(settings: Settings) -> Finding:
    from app.core.storage import Storage

    url = settings.resolved_storage_url
    if url.startswith("file:"):
        folder = Path(url.removeprefix("file://"))
        if not folder.exists():
            return Finding("store", f"{folder} does not exist yet; it is made when it is needed")
    Storage.from_url(url, s3_endpoint=settings.s3_endpoint, timeout=settings.storage_timeout).check()
    return Finding("store", f"{url} responds")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir.resolve()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", found, "Free some space: `squeeze sweep --dry-run` lists what is not needed.")
    return Finding("disk", found)


def _device(settings: Settings) -> Finding:  # noqa: ARG001 - all checks take them
    if find_spec("torch") is None:
        return Finding("device", "no torch: this machine can run the API, but no worker", _FIXES["device"])
    # In a process of its own: the API never loads torch.
    import subprocess

    code = (
        "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else "
        "f'no GPU: workers train on {torch.get_num_threads()} CPU threads')"
    )
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    if answer.returncode:
        return Finding("device", answer.stderr.strip().rpartition("\n")[2], "Install torch again.")
    return Finding("device", answer.stdout.strip())


def _versions(settings: Settings) -> Finding:  # noqa: ARG001 - all checks take them
    found = {name: _version(name) for name in _PACKAGES}
    text = ", ".join(f"{name} {number or 'missing'}" for name, number in found.items())
    return Finding("versions", f"Python {sys.version.partition(' ')[0]}, {text}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
