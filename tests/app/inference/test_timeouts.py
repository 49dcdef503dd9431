"""How long a request may take, and what its answer says of its time."""

import asyncio
import re
from time import monotonic
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from app.domain.errors import DeadlineExceeded, Overloaded
from app.inference.timing import RequestTiming
from tests.app.inference.conftest import Register, predict
from tests.app.inference.test_batching import TEXTS, HeldClassifier, classifier, end, learn_pace, queue_of

__all__ = ["classifier"]

SERVER_TIMING = re.compile(r"queue;dur=(\d+\.\d\d), tokenize;dur=(\d+\.\d\d), run;dur=(\d+\.\d\d)")
SHORT_S = 0.05
TOO_SHORT = "0.000001"


def test_what_waits_beyond_its_deadline_is_not_run(classifier: HeldClassifier) -> None:
    async def ask_in_time(queue: Any, texts: list[str]) -> list[Any]:
        timing = RequestTiming(monotonic() + SHORT_S)
        async with timing.until_deadline():
            return await queue.predict(texts, timing=timing)

    async def scenario() -> None:
        queue = queue_of(classifier)
        first = asyncio.create_task(queue.predict(TEXTS[:1]))
        await classifier.begin()
        with pytest.raises(DeadlineExceeded):
            await ask_in_time(queue, TEXTS[1:60])
        classifier.may_run.set()
        assert len(await first) == 1
        assert len(await queue.predict(TEXTS[60:62])) == 2
        await end(queue)

    asyncio.run(scenario())
    assert sum(map(len, classifier.runs)) == 3


def test_whose_turn_would_come_too_late_is_refused_at_once(classifier: HeldClassifier) -> None:
    classifier.may_run.set()

    async def scenario() -> None:
        queue = queue_of(classifier)
        await learn_pace(queue)
        classifier.may_run.clear()
        classifier.has_begun.clear()
        some = asyncio.create_task(queue.predict(TEXTS[:1]))
        await classifier.begin()
        with pytest.raises(Overloaded, match="would wait for about"):
            await queue.predict(TEXTS[:1], timing=RequestTiming(monotonic()))
        patient = asyncio.create_task(queue.predict(TEXTS[:1], timing=RequestTiming(monotonic() + 60)))
        await asyncio.sleep(0)
        classifier.may_run.set()
        assert len(await some) == len(await patient) == 1
        await end(queue)

    asyncio.run(scenario())


def test_times_of_a_request_are_those_of_its_batches(classifier: HeldClassifier) -> None:
    async def scenario() -> list[RequestTiming]:
        queue = queue_of(classifier)
        first, second = RequestTiming(), RequestTiming()
        began = asyncio.create_task(queue.predict(TEXTS[:1], timing=first))
        await classifier.begin()
        waits = asyncio.create_task(queue.predict(TEXTS[:1], timing=second))
        await asyncio.sleep(SHORT_S)
        classifier.may_run.set()
        await asyncio.gather(began, waits)
        await end(queue)
        return [first, second]

    first, second = asyncio.run(scenario())
    assert first.run_s >= SHORT_S
    assert second.queue_s > second.run_s > 0
    assert first.tokenize_s > 0


@pytest.mark.parametrize(
    ("path", "body", "task"),
    [
        ("/v1/models/{}/predict", {"inputs": TEXTS[0]}, "text_classification"),
        ("/models/{}", {"inputs": TEXTS[0]}, "text_classification"),
        ("/v1/classify", {"input": TEXTS[0]}, "text_classification"),
        ("/v1/embeddings", {"input": TEXTS[0]}, "sentence_embedding"),
        ("/v1/rerank", {"query": TEXTS[0], "documents": TEXTS[1:3]}, "text_regression"),
        (
            "/v2/models/{}/infer",
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": TEXTS[:1]}]},
            "text_classification",
        ),
    ],
)
def test_every_protocol_takes_a_timeout_and_tells_its_time(
    client: httpx.Client, register: Register, path: str, body: dict[str, Any], task: str
) -> None:
    model = register(task=task, is_pair=True if task == "text_regression" else None)
    if "{}" not in path:
        body = {**body, "model": model}
    answered = client.post(path.format(model), json=body, headers={"X-Request-Timeout": "30"})
    assert answered.status_code == 200, answered.text
    times = SERVER_TIMING.fullmatch(answered.headers["server-timing"])
    assert times
    assert float(times[3]) > 0
    dropped = client.post(path.format(model), json=body, headers={"X-Request-Timeout": TOO_SHORT})
    assert dropped.status_code == 504, dropped.text
    assert dropped.json()["type"].endswith(":request_timeout")


def test_names_of_the_header(client: httpx.Client, register: Register) -> None:
    model = register()
    assert predict(client, model, TEXTS[0]).status_code == 200
    for name in ("X-Request-Timeout", "Request-Timeout", "X-Stainless-Read-Timeout"):
        client.headers = {name: TOO_SHORT}
        assert predict(client, model, TEXTS[0]).status_code == 504
        client.headers = {name: "600.0"}
        assert predict(client, model, TEXTS[0]).status_code == 200


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "inf", ""])
def test_a_timeout_that_is_none_is_refused(client: httpx.Client, register: Register, given: str) -> None:
    client.headers["x-request-timeout"] = given
    refused = predict(client, register(), TEXTS[0])
    assert refused.status_code == 422
    assert repr(given) in refused.json()["detail"]


def test_the_timeout_of_tritons_client(server_url: str, register: Register) -> None:
    model = register()
    text = triton.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([TEXTS[0]], object))
    with triton.InferenceServerClient(server_url.removeprefix("http://")) as server:
        for timeout in (None, 0, 30_000_000):  # microseconds; 0 is none
            server.infer(model, [text], timeout=timeout)
        with pytest.raises(InferenceServerException, match="timeout of this request passed") as caught:
            server.infer(model, [text], timeout=1)
        assert caught.value.status() == "504"
        with pytest.raises(InferenceServerException, match="number of microseconds"):
            server.infer(model, [text], timeout=-1)
