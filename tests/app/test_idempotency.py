"""Whatever a POST creates is created once, however often it is sent with its Idempotency-Key."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import select, update

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.datasets import Dataset
from app.core.db.idempotency_keys import IdempotencyKey, forget_expired_keys
from app.core.settings import Settings
from app.domain.errors import InProgress
from app.idempotency.creation import Creation, KeyedRequest, Replayed
from app.idempotency.fingerprint import Fingerprint
from app.main import create_app
from tests.app.conftest import Api, make_settings, run_api
from worker.runner.expired_rows import remove_expired_rows

KEY = {"Idempotency-Key": "key-1"}
LATER, EARLIER = timedelta(hours=1), timedelta(hours=-1)


@pytest.fixture(scope="module")
def running(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    yield from run_api(make_settings(tmp_path_factory.mktemp("api"), database_url=sqlite_url))


@pytest.fixture
def api(running: Api) -> Api:
    from tests.conftest import empty_tables

    empty_tables(running.database)
    return running


def create_dataset(api: Api, files: dict[str, Path], name: str = "tiny", **headers: str) -> httpx.Response:
    uploads = {split: (path.name, path.read_bytes()) for split, path in files.items()}
    return api.http.post("/v1/datasets", files=uploads, data={"name": name}, headers=headers or KEY)


def key_row(database: Database) -> IdempotencyKey:
    with database.reading() as session:
        return session.scalars(select(IdempotencyKey)).one()


def change_key(database: Database, **changes: Any) -> None:
    with database.transaction() as session:
        session.execute(update(IdempotencyKey).values(**changes))


# Which routes


def test_every_post_that_creates_takes_a_key():
    """Two do not: an answer with an API key's secret is stored nowhere."""
    creating = {
        operation["operationId"]: [p["name"] for p in operation.get("parameters", ())]
        for operations in create_app(Settings()).openapi()["paths"].values()
        for method, operation in operations.items()
        if method == "post" and {"201", "202"} & operation["responses"].keys()
    }
    without = {name for name, parameters in creating.items() if "idempotency-key" not in parameters}
    assert without == {"createKey"}
    assert {"createModel", "createDataset", "createJob", "createProject"} <= creating.keys()


# Uploads


def test_an_upload_sent_again(api: Api, dataset_files: dict[str, Path]):
    first, second = (create_dataset(api, dataset_files) for _ in range(2))
    boundaries = {response.request.headers["content-type"] for response in (first, second)}
    assert len(boundaries) == 2, "the client draws it at random"
    assert (first.status_code, second.status_code) == (201, 201)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    for header in ("location", "content-type", "content-length"):
        assert second.headers[header] == first.headers[header]
    assert second.content == first.content
    assert api.rows()["datasets"] == 1


def test_another_upload_with_the_same_key(api: Api, dataset_files: dict[str, Path], tmp_path: Path):
    create_dataset(api, dataset_files)
    changed = tmp_path / dataset_files["train"].name
    changed.write_bytes(dataset_files["train"].read_bytes() + b"\n")
    for response in (
        create_dataset(api, dataset_files, name="other"),
        create_dataset(api, dataset_files | {"train": changed}),
    ):
        assert response.status_code == 422
        assert response.json()["type"] == "urn:squeeze:problem:idempotency_key_reused"
    assert api.rows()["datasets"] == 1


def test_a_model(api: Api, teacher_archive: Path):
    def upload(name: str) -> httpx.Response:
        with teacher_archive.open("rb") as file:
            return api.http.post("/v1/models", files={"file": file}, data={"name": name}, headers=KEY)

    first, second, other = upload("tiny"), upload("tiny"), upload("other")
    assert (first.content, other.status_code) == (second.content, 422)
    assert api.rows()["models"] == 1
    prefixes = {key.rpartition("/")[0] for key in api.stored() if "/models/" in key}
    assert len(prefixes) == 1, "nothing is stored for a replay"


def test_a_project(api: Api):
    admin = KEY | api_key(api)
    first, second = (api.http.post("/v1/projects", json={"name": "p"}, headers=admin) for _ in range(2))
    assert (first.status_code, second.content) == (201, first.content)


def api_key(api: Api) -> dict[str, str]:
    from app.projects.service import create_key

    with api.database.of(DEFAULT_PROJECT).transaction() as session:
        _, token = create_key(session, name="test", scopes=["admin"])
    return {"authorization": f"Bearer {token}"}


def test_keys_of_one_operation_are_not_those_of_another(
    api: Api, dataset_files: dict[str, Path], teacher_archive: Path
):
    assert create_dataset(api, dataset_files).status_code == 201
    with teacher_archive.open("rb") as file:
        created = api.http.post("/v1/models", files={"file": file}, data={"name": "m"}, headers=KEY)
    assert created.status_code == 201


# Requests that fail, take long or are lost


def test_a_failed_request_leaves_its_key(api: Api, dataset_files: dict[str, Path], tmp_path: Path):
    (empty := tmp_path / "train.jsonl").write_bytes(b"")
    assert create_dataset(api, dataset_files | {"train": empty}).status_code == 422
    assert create_dataset(api, dataset_files).status_code == 201


def test_a_request_that_is_being_handled(api: Api, dataset_files: dict[str, Path]):
    create_dataset(api, dataset_files)
    change_key(api.database, status=None, leased_until=datetime.now(UTC) + LATER)
    response = create_dataset(api, dataset_files)
    assert response.status_code == 409
    assert response.json()["type"] == "urn:squeeze:problem:request_in_progress"
    assert (response.headers["retry-after"], response.headers["x-should-retry"]) == ("1", "true")
    assert create_dataset(api, dataset_files, name="other").status_code == 422


def test_a_request_whose_process_was_lost(api: Api, dataset_files: dict[str, Path]):
    create_dataset(api, dataset_files)
    change_key(api.database, status=None, leased_until=datetime.now(UTC) + EARLIER)
    assert "idempotent-replayed" not in create_dataset(api, dataset_files).headers
    assert "idempotent-replayed" in create_dataset(api, dataset_files).headers


def test_keys_expire(api: Api, dataset_files: dict[str, Path]):
    create_dataset(api, dataset_files)
    row = key_row(api.database)
    assert row.expires_at - row.created_at == pytest.approx(timedelta(days=1), abs=timedelta(minutes=1))
    change_key(api.database, expires_at=datetime.now(UTC) + EARLIER)
    assert "idempotent-replayed" not in create_dataset(api, dataset_files, name="other").headers


def test_the_sweep_removes_those_that_have_expired(api: Api, dataset_files: dict[str, Path]):
    for key in ("old", "new"):
        create_dataset(api, dataset_files, **{"Idempotency-Key": key})
    with api.database.transaction() as session:
        is_old = IdempotencyKey.key == "old"
        session.execute(update(IdempotencyKey).where(is_old).values(expires_at=datetime.now(UTC) + EARLIER))
    remove_expired_rows(SimpleNamespace(database=api.database, settings=api.app.state.settings))
    assert key_row(api.database).key == "new"


# Handling one request, on both databases


class Answer(BaseModel):
    id: str


def creation(database: Database, body: bytes = b"{}") -> Creation:
    fingerprint = Fingerprint("application/json", b"")
    fingerprint.update(body)
    request = KeyedRequest("POST /v1/things", "key", fingerprint, keep_for=LATER)
    return Creation(database.of(DEFAULT_PROJECT), Response(), status=201, request=request)


def create(database: Database, handled: Creation) -> Dataset:
    with handled.transaction(database.of(DEFAULT_PROJECT)) as session:
        dataset = Dataset(name="d", manifest_json={})
        session.add(dataset)
        session.flush()
        handled.answer(session, Answer(id=dataset.id), location=f"/v1/things/{dataset.id}")
    return dataset


def datasets(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Dataset.id)))


def test_the_answer_is_stored_with_what_it_tells_of(database: Database):
    created = create(database, creation(database))
    with pytest.raises(Replayed) as replayed:
        create(database, creation(database))
    assert (replayed.value.status, json.loads(replayed.value.body)) == (201, {"id": created.id})
    assert datasets(database) == [created.id]


def test_a_handling_that_was_given_up_for_lost_creates_nothing(database: Database):
    """It was frozen, say: whoever sent the request again has its key by now."""
    frozen = creation(database)
    created = []

    def create_late() -> None:
        with frozen.transaction(database.of(DEFAULT_PROJECT)) as session:
            change_key(database, leased_until=datetime.now(UTC) + EARLIER)
            created.append(create(database, creation(database)).id)
            frozen.answer(session, Answer(id="late"), location="/v1/things/late")

    with pytest.raises(InProgress):
        create_late()
    assert datasets(database) == created
    assert key_row(database).location == f"/v1/things/{created[0]}"


def test_a_transaction_that_fails_leaves_neither(database: Database):
    handled = creation(database)

    def fail_late() -> None:
        with handled.transaction(database.of(DEFAULT_PROJECT)) as session:
            handled.answer(session, Answer(id="x"), location="/v1/things/x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    with database.transaction() as session:
        forget_expired_keys(session)
        assert session.scalars(select(IdempotencyKey)).all() == []


def test_what_is_created_needs_an_answer(database: Database):
    handled = creation(database)
    with pytest.raises(AssertionError), handled.transaction(database.of(DEFAULT_PROJECT)) as session:
        session.add(Dataset(name="d", manifest_json={}))
    assert datasets(database) == []


# Fingerprints


def fingerprint(body: bytes, content_type: str = "application/json", *, chunk: int = 1 << 16) -> str:
    taken = Fingerprint(content_type, b"")
    for start in range(0, len(body), chunk):
        taken.update(body[start : start + chunk])
    return taken.hexdigest()


def form(boundary: str, *contents: str) -> tuple[bytes, str]:
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="f"\r\n\r\n{c}\r\n' for c in contents]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode(), f"multipart/form-data; boundary={boundary}"


@pytest.mark.parametrize("chunk", [1, 3, 7, 64, 1 << 16])
def test_forms_by_their_contents(chunk: int):
    """Wherever the chunks in which they come in begin and end."""
    assert fingerprint(*form("aXa", "one", "two"), chunk=chunk) == fingerprint(*form("b" * 30, "one", "two"))
    assert fingerprint(*form("aXa", "one", "aXaX"), chunk=chunk) != fingerprint(*form("b", "one", "two"))


def test_forms_that_differ():
    assert len({fingerprint(*form("b", *parts)) for parts in [("ab", "c"), ("a", "bc"), ("abc",), ()]}) == 4


def test_json_by_its_value():
    assert fingerprint(b'{"a": 1, "b": [2]}') == fingerprint(b'{"b":[2],"a":1}', chunk=2)
    assert fingerprint(b'{"a": 1}') != fingerprint(b'{"a": 2}')
    assert fingerprint(b"{") != fingerprint(b"{ ")
    assert fingerprint(b"[" * 100_000) != fingerprint(b"[" * 99_999)
