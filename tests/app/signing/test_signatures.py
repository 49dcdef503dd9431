"""What this service gives out can be verified by other tools, without it."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.db import Database
from app.signing.signer import all_keys, new_key, public_key, sign
from tests.app.conftest import Api
from tests.tiny import tiny_model_folder, zipped


@pytest.fixture
def downloaded(api: Api, tmp_path: Path) -> Path:
    """A model's folder as the README downloads it, with its signature and the installation's key."""
    model = api.upload_model(zipped(tiny_model_folder(tmp_path / "model"))).json()
    folder = tmp_path / "downloaded"
    folder.mkdir()
    at = f"/v1/models/{model['id']}"
    for name in model["manifest"]["files"]["entries"]:
        (folder / name).write_bytes(api.http.get(f"{at}/artifacts/{name}").content)
    for name in ("SHA256SUMS", "SHA256SUMS.sig"):
        (folder / name).write_bytes(api.http.get(f"{at}/{name}").content)
    [key] = api.http.get("/v1/signing-keys").json()["data"]
    (folder / "key.pem").write_text(key["public_key"])
    return folder


def is_signed(folder: Path) -> bool:
    options = ["-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "SHA256SUMS"]
    command = ["openssl", "pkeyutl", *options, "-sigfile", "SHA256SUMS.sig"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def is_whole(folder: Path) -> bool:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def test_a_downloaded_model_is_verified_offline(downloaded: Path) -> None:
    assert is_signed(downloaded)
    assert is_whole(downloaded)


def test_one_that_was_changed_is_not(downloaded: Path) -> None:
    weights = downloaded / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert is_signed(downloaded)
    assert not is_whole(downloaded)
    sums = downloaded / "SHA256SUMS"
    sums.write_bytes(subprocess.run(["sha256sum", weights], capture_output=True, check=True).stdout)
    assert not is_signed(downloaded)


def test_processes_share_one_key(database: Database, database_url: str) -> None:
    other = Database(database_url)
    assert sign(database, b"content") == sign(other, b"content")
    other.dispose()


def test_a_new_key_signs_and_the_others_stay_known(database: Database) -> None:
    before = sign(database, b"content")
    with database.transaction() as session:
        new_key(session)
    assert sign(database, b"content") != before
    newest, first = all_keys(database)
    assert (newest.number, first.number) == (2, 1)
    assert public_key(newest) != public_key(first)


def test_the_command_prints_the_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = api.http.get("/v1/signing-keys").json()["data"][0]["public_key"]
    url = str(api.app.state.database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SQUEEZE_DATABASE_URL", url)
    command = [sys.executable, "-m", "app.cli", "signing-key"]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == shown
    rotated = subprocess.run([*command, "--rotate"], capture_output=True, check=True, text=True).stdout
    newest, _ = api.http.get("/v1/signing-keys").json()["data"]
    assert newest["public_key"] == rotated != shown
