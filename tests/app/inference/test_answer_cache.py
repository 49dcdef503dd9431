"""Answers that are kept, and models that stay."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.settings import Settings
from app.inference.answer_cache import AnswerCache, ServedContent
from app.main import create_app
from tests.app.inference.conftest import Register, predict
from tests.app.inference.test_named_endpoints import code_of

CONTENT = ServedContent("prj_0", "sha256", "fp32")
TEXTS = ["a wonderful film", "a dull film", "a lone surrogate \ud800"]


class Runs:
    """Stands in for a queue: notes what it is asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def __call__(self, texts: Sequence[Any]) -> list[Any]:
        self.texts += texts
        return [None if text == "nothing" else (text.upper(), [0.5]) for text in texts]


def ask(cache: AnswerCache, *asked: tuple[ServedContent, list[str], object]) -> list[list[str]]:
    """The texts that each request has run."""

    async def scenario() -> list[list[str]]:
        ran = []
        for content, texts, options in asked:
            runs = Runs()
            rows = await cache.rows(content, texts, options, runs)
            assert rows == await Runs()(texts)
            ran.append(runs.texts)
        return ran

    return asyncio.run(scenario())


def test_only_what_is_not_known_is_run() -> None:
    cache = AnswerCache(100_000)
    others = [CONTENT._replace(**{name: "other"}) for name in CONTENT._fields]
    first, mixed, *foreign, other_options = ask(
        cache,
        (CONTENT, TEXTS, None),
        (CONTENT, [TEXTS[1], "new", TEXTS[0], "nothing"], None),
        *((other, TEXTS, None) for other in others),
        (CONTENT, TEXTS, ("top", 3)),
    )
    assert first == TEXTS
    assert mixed == ["new", "nothing"]
    assert [*foreign, other_options] == [TEXTS] * 4
    assert ask(cache, (CONTENT, ["nothing"], None)) == [[]], "a row of None is one"


def test_what_was_not_asked_for_longest_leaves() -> None:
    cache = AnswerCache(2 * 350)  # rows here are of some 300 bytes with their overhead
    ran = ask(cache, *((CONTENT, [text], None) for text in ("a", "b", "a", "c", "a", "b")))
    assert ran == [["a"], ["b"], [], ["c"], [], ["b"]]
    huge = AnswerCache(300)
    assert ask(huge, *((CONTENT, ["x" * 500], None) for _ in range(2))) == [["x" * 500]] * 2
    assert ask(AnswerCache(0), *((CONTENT, ["a"], None) for _ in range(2))) == [["a"]] * 2


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=sqlite_url,
        inference_threads=1,
        inference_sessions=2,
        inference_cache_bytes=10_000,
    )


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


def test_kept_answers_are_the_same(client: httpx.Client, register: Register) -> None:
    model = register()
    first = predict(client, model, TEXTS[:2])
    again = predict(client, model, TEXTS[:2])
    assert again.text == first.text
    assert "run;dur=0.00" in again.headers["server-timing"]
    assert "run;dur=0.00" not in first.headers["server-timing"]
    assert predict(client, model, TEXTS[:1], top_k=1).json()[0] == first.json()[0][:1]
    assert predict(client, model, TEXTS[:2], precision="int8").text != first.text
    assert client.delete(f"/v1/models/{model}").status_code == 204


def test_a_pinned_model_stays(
    client: httpx.Client, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.inference.runtime")
    pinned, *others = (register() for _ in range(4))

    def loads() -> list[str]:
        messages = (record.getMessage() for record in caplog.records)
        return [message.split()[1] for message in messages if message.startswith("loaded")]

    loaded = client.post(f"/v1/models/{pinned}/load", json={"pinned": True})
    assert loaded.json() == {"object": "model.memory", "model": pinned, "loaded": True, "pinned": True}
    for model in (*others, pinned, others[-1]):
        assert predict(client, model, "a wonderful film").status_code == 200
    assert loads() == [pinned, *others]

    refused = client.post(f"/v1/models/{others[0]}/load", json={"pinned": True})
    assert (refused.status_code, code_of(refused)) == (409, "too_many_pinned_models")
    assert client.post(f"/v1/models/{pinned}/load", json={"pinned": True}).status_code == 200
    assert client.post(f"/v1/models/{others[0]}/load").json()["pinned"] is False
    assert loads() == [pinned, *others, others[0]]

    unloaded = client.post(f"/v1/models/{pinned}/unload")
    assert (unloaded.json()["loaded"], unloaded.json()["pinned"]) == (False, False)
    assert predict(client, pinned, "another film").status_code == 200
    assert loads()[-1] == pinned
    assert client.post(f"/v1/models/{others[0]}/load", json={"pinned": True}).status_code == 200

    wrong = client.post(f"/v1/models/{pinned}/load", json={"precision": "int4"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/precision")
    assert client.post(f"/v1/models/mdl_{'0' * 26}/load").status_code == 404
