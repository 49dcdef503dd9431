"""Files as OpenAI's client sends, lists, reads and deletes them."""

import time

import openai
import pytest

from tests.app.conftest import Api

ROWS = b'{"text": "a fine film", "label": "good"}\n'
DAY = 86_400


def test_a_file_lives_until_it_is_deleted(server: Api, client: openai.OpenAI) -> None:
    stored = set(server.stored())
    made = client.files.create(file=("train é.jsonl", ROWS), purpose="fine-tune")
    assert (made.object, made.bytes, made.filename) == ("file", len(ROWS), "train é.jsonl")
    assert (made.purpose, made.status) == ("fine-tune", "processed")
    assert made.expires_at == pytest.approx(made.created_at + DAY, abs=2)
    assert made.created_at == pytest.approx(time.time(), abs=60)
    assert client.files.retrieve(made.id) == made
    assert client.files.wait_for_processing(made.id) == made
    assert client.files.content(made.id).read() == ROWS
    assert set(server.stored()) > stored
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "file")
    assert set(server.stored()) == stored
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as absent:
            ask(made.id)
        assert absent.value.code == "file_not_found"


def test_pages_follow_one_another(client: openai.OpenAI, stranger: openai.OpenAI) -> None:
    made = [client.files.create(file=(f"{n}.jsonl", ROWS), purpose="fine-tune").id for n in range(3)]
    assert [file.id for file in client.files.list(limit=2)][:3] == made[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")][-3:] == made
    assert client.files.list(limit=2).has_more
    assert list(client.files.list(purpose="batch")) == []
    assert list(stranger.files.list()) == []
    for ask in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(made[0])
    assert client.files.retrieve(made[0]).id == made[0]


def test_an_upload_in_parts_is_no_file(server: Api, client: openai.OpenAI) -> None:
    headers = {"authorization": f"Bearer {client.api_key}", "tus-resumable": "1.0.0", "upload-length": "1"}
    begun = server.http.post("/v1/uploads", headers=headers).json()["id"]
    assert begun not in [file.id for file in client.files.list()]
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(begun)


def test_expiry_is_as_asked_for(client: openai.OpenAI) -> None:
    hour = {"anchor": "created_at", "seconds": 3600}
    made = client.files.create(file=("t.jsonl", ROWS), purpose="fine-tune", expires_after=hour)
    assert made.expires_at == pytest.approx(made.created_at + 3600, abs=2)
    month = {"anchor": "created_at", "seconds": 30 * DAY}
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.files.create(file=("t.jsonl", ROWS), purpose="fine-tune", expires_after=month)
    assert (refused.value.code, refused.value.param) == ("kept_too_long", "expires_after.seconds")
    with pytest.raises(openai.UnprocessableEntityError, match="has no anchor"):
        client.files.create(file=("t.jsonl", ROWS), purpose="fine-tune", expires_after={"seconds": 3600})


def test_what_is_wrong_is_said_as_the_client_reads_it(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.files.create(file=("t.jsonl", ROWS), purpose="assistants")
    assert refused.value.param == "purpose"
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.files.create(file=("t.jsonl", b""), purpose="fine-tune")
    assert (refused.value.code, refused.value.param) == ("empty_file", "file")
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.files.create(file=("t.jsonl", ROWS), purpose="fine-tune", extra_body={"color": "red"})
    assert refused.value.code == "unknown_field"


def test_a_key_of_idempotency_makes_one_file(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": "one file"}
    first, second = (
        client.files.create(file=("t.jsonl", ROWS), purpose="fine-tune", extra_headers=headers)
        for _ in range(2)
    )
    assert first == second
