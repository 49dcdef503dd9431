"""``squeeze keys`` and ``squeeze projects``, and the key of a data folder."""

import json
import stat

import pytest

from app.cli import main
from app.core.settings import get_settings
from app.projects.local_key import local_key
from tests.app.auth.conftest import Headers


@pytest.fixture
def squeeze(closed_api, monkeypatch, capsys):
    """Runs a command on the API's database; returns what it printed."""
    monkeypatch.setenv("SQUEEZE_DATABASE_URL", closed_api.app.state.settings.resolved_database_url)
    get_settings.cache_clear()

    def run(*arguments: str, status: int = 0) -> str:
        assert main(arguments) == status
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    yield run
    get_settings.cache_clear()


def bearer(token: str) -> Headers:
    return {"authorization": f"Bearer {token.strip()}"}


def test_a_key_from_creation_to_revocation(closed_api, squeeze):
    def status(token: str) -> int:
        return closed_api.http.get("/v1/models", headers=bearer(token)).status_code

    first = squeeze("keys", "create", "ci", "--scopes", "read", "--expires-in", "90d")
    [row] = [row for row in json.loads(squeeze("keys", "list", "--json")) if row["name"] == "ci"]
    assert (row["scopes"], row["revoked_at"]) == (["read"], None)
    assert "secret" not in row
    assert status(first) == 200
    second = squeeze("keys", "rotate", row["id"], "--overlap", "0s")
    assert [status(token) for token in (first, second)] == [200, 200], "trusted for a few seconds more"
    assert row["id"] in squeeze("keys", "revoke", row["id"])
    closed_api.app.state.guard.keys.forget(row["id"])
    assert [status(token) for token in (first, second)] == [401, 401]
    assert "ci" in squeeze("keys", "list")


def test_projects(closed_api, squeeze):
    squeeze("projects", "create", "from the command line")
    [row] = [row for row in json.loads(squeeze("projects", "list", "--json")) if "command" in row["name"]]
    key = json.loads(
        squeeze("keys", "create", "x", "--scopes", "admin", "--project", "from the command line", "--json")
    )
    assert key["project"] == row["id"]
    assert closed_api.http.get("/v1/projects", headers=bearer(key["secret"])).json()["data"] == [row]
    assert len(json.loads(squeeze("keys", "list", "--project", row["id"], "--json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keys", "revoke", "key_x"], "There is no key 'key_x'"),
        (["keys", "list", "--project", "nowhere"], "There is no project 'nowhere'"),
        (["projects", "create", "default"], "already a project 'default'"),
        (["projects", "create", " "], "at least 1 character"),
    ],
)
def test_what_is_wrong(squeeze, arguments, message):
    assert message in squeeze(*arguments, status=1)


def test_limits_of_a_project(squeeze):
    squeeze("projects", "create", "limited", "--max-stored-bytes", "50GB", "--max-queued-jobs", "7")
    squeeze("projects", "update", "limited", "--max-queued-jobs", "none", "--max-requests-per-minute", "60")
    [row] = [row for row in json.loads(squeeze("projects", "list", "--json")) if row["name"] == "limited"]
    given = {name: limit for name, limit in row["limits"].items() if limit is not None}
    assert given == {"max_stored_bytes": 50 * 10**9, "max_requests_per_minute": 60}
    assert "max_stored_bytes=50000000000" in squeeze("projects", "list")


@pytest.mark.parametrize("option", [["--scopes", "read,root"], ["--expires-in", "soon"]])
def test_wrong_options(squeeze, option):
    assert main(["keys", "create", "x", *option]) == 2


def test_the_key_of_a_data_folder(closed_api, squeeze, tmp_path):
    url = closed_api.app.state.settings.resolved_database_url
    token = local_key(url, tmp_path)
    [path] = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert closed_api.http.get("/v1/keys", headers=bearer(token)).status_code == 200
    assert local_key(url, tmp_path) == token == path.read_text().strip()
    squeeze("keys", "revoke", closed_api.http.get("/v1/keys", headers=bearer(token)).json()["data"][0]["id"])
    assert local_key(url, tmp_path) != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("damaged")
    assert local_key(url, tmp_path).startswith("sqz_")
