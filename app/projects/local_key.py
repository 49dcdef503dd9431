"""The key that a data folder comes with, for whoever can read the folder."""

import os
from contextlib import suppress
from pathlib import Path

from app.auth.tokens import digest_of, key_id_of
from app.core.db import DEFAULT_PROJECT, Actor, Database
from app.core.db.api_keys import find_keys
from app.domain.scopes import SCOPES
from app.projects.service import create_key

_FILE = "local-key"


def local_key(database_url: str, data_dir: Path) -> str:
    """A token with all scopes on the default project, kept in a file that only its owner can read.

    It is created with the folder, and again once it was revoked.
    """
    path = data_dir / _FILE
    database = Database(database_url)
    try:
        with suppress(FileNotFoundError):
            token = path.read_text().strip()
            if _is_valid(database, token):
                return token
        with database.of(DEFAULT_PROJECT, Actor("command line", "createKey")).transaction() as session:
            _, token = create_key(session, name=f"local key of {data_dir}"[:200], scopes=SCOPES)
    finally:
        database.dispose()
    _write_private(path, token)
    return token


def _is_valid(database: Database, token: str) -> bool:
    key_id = key_id_of(token)
    with database.reading() as session:
        keys, now = find_keys(session, [key_id] if key_id else [])
    return any(
        key.accepts(digest_of(token), now) and key.revoked_at is None and not key.has_expired(now)
        for key in keys
    )


def _write_private(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")
    partial.replace(path)
