"""Models that are asked as well, to see whether they answer the same."""

import asyncio

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY

from app.core.db import DEFAULT_PROJECT
from app.domain.documents.endpoint_target import ServedExport
from app.domain.errors import NotFound
from app.inference import metrics, shadow
from app.inference.predictors.results import (
    FoundAnswer,
    FoundAnswers,
    LabelScore,
    MaskFill,
    MaskFills,
    NamedEntities,
    NamedEntity,
    Number,
    RankedLabels,
    Result,
    TaggedWord,
    TaggedWords,
    TranslatedText,
    Vector,
)
from app.inference.shadow import Shadow, ShadowText, ShadowTraffic, agreement
from app.named_endpoints import service
from tests.app.inference.conftest import Register, predict
from tests.app.inference.test_named_endpoints import PATH, UNKNOWN, code_of, put, without_endpoints
from tests.processes import wait_until
from tests.tiny import tiny_examples

__all__ = ["without_endpoints"]

TEXTS = [example["text"] for example in tiny_examples(12)]
SHADOW = Shadow(DEFAULT_PROJECT, "watched", "mdl_student", ServedExport("mdl_teacher", None))


def labels(*pairs: tuple[str, float], passes: bool | None = None) -> RankedLabels:
    return RankedLabels([LabelScore(name, score, passes) for name, score in pairs], tokens=3)


def vector(*values: float) -> Vector:
    return Vector(np.array(values, np.float32), tokens=3)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (labels(("a", 0.9), ("b", 0.1)), labels(("a", 0.6), ("b", 0.4)), 1),
        (labels(("a", 0.9), ("b", 0.1)), labels(("b", 0.6), ("a", 0.4)), 0),
        (labels(("a", 0.9), ("b", 0.8), passes=True), labels(("b", 0.9), ("a", 0.8), passes=True), 1),
        (labels(("a", 0.9), passes=True), labels(("a", 0.4), passes=False), 0),
        (Number(1.0), Number(1.25), 0.75),
        (Number(1.0), Number(5.0), 0),
        (vector(1, 0), vector(3, 0), 1),
        (vector(1, 0), vector(0, 2), 0),
        (vector(0, 0), vector(0, 2), 0),
        (
            NamedEntities([NamedEntity("PER", 0.9, "A", 0, 1)]),
            NamedEntities([NamedEntity("PER", 0.5, "A", 0, 1)]),
            1,
        ),
        (NamedEntities([NamedEntity("PER", 0.9, "A", 0, 1)]), NamedEntities([]), 0),
        (TaggedWords([TaggedWord("O", 0.9, "A", 0, 1)]), TaggedWords([TaggedWord("O", 0.8, "A", 0, 1)]), 1),
        (MaskFills([MaskFill(1, "a", 0.9, "a")]), MaskFills([MaskFill(2, "b", 0.9, "b")]), 0),
        (
            FoundAnswers([FoundAnswer(0.9, 0, 1, "x")], True),
            FoundAnswers([FoundAnswer(0.3, 0, 1, "x")], True),
            1,
        ),
        (FoundAnswers([], True), FoundAnswers([], True), 1),
        (TranslatedText("a"), TranslatedText("b"), 0),
    ],
)
def test_what_agrees(one: Result, other: Result, expected: float) -> None:
    assert agreement(one, other) == pytest.approx(expected)


def outcomes(endpoint: str) -> dict[str, float]:
    name, of = "squeeze_predict_shadow_texts_total", {"project": DEFAULT_PROJECT, "endpoint": endpoint}
    found = {
        o: REGISTRY.get_sample_value(name, of | {"outcome": o}) for o in ("compared", "dropped", "failed")
    }
    return {outcome: value for outcome, value in found.items() if value}


def test_what_comes_while_others_wait_or_beyond_the_bounds_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadow, "MOST_WAITING", 6)
    answer = labels(("a", 0.9))
    asked: list[str] = []
    endpoint = SHADOW._replace(endpoint="bounded")

    async def ask(text: ShadowText) -> Result | None:
        asked.append(text.text)
        match text.text:
            case "gone":
                raise NotFound("model", "mdl_teacher")
            case "broken":
                raise MemoryError("too long for this machine")
            case "no room":
                return None
        return answer

    async def scenario() -> None:
        traffic = ShadowTraffic(ask, is_busy=lambda: len(asked) == 5)
        texts = ["one", "gone", "broken", "no room", "x" * 100_000, "two", "while busy", "the seventh"]
        traffic.add(endpoint, texts, None, [answer] * len(texts))
        assert not asked, "nothing runs before the answer is sent"
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        assert traffic.agreement(DEFAULT_PROJECT, "bounded") == shadow.ShadowAgreement(
            "mdl_student", "mdl_teacher", texts=2, agreement=2.0
        )
        await traffic.close()

    asyncio.run(scenario())
    assert asked == ["one", "gone", "broken", "no room", "two"]
    assert outcomes("bounded") == {"compared": 2, "failed": 2, "dropped": 4}


def test_a_shadow_is_compared_with_what_was_answered(client: httpx.Client, register: Register) -> None:
    model, teacher = register(), register(exports=("int8",))
    alone = {id_: predict(client, id_, TEXTS).json() for id_ in (model, teacher)}
    same = sum(
        one[0]["label"] == other[0]["label"] for one, other in zip(alone[model], alone[teacher], strict=True)
    )
    created = put(client, model=model, shadow={"model": teacher, "share": 1})
    assert created.status_code == 201, created.text
    assert created.json()["shadow"] == {"model": teacher, "precision": None, "share": 1}
    assert created.json()["shadow_agreement"] is None

    assert predict(client, "sentiment", TEXTS).json() == alone[model]
    wait_until(
        lambda: (client.get(PATH).json()["shadow_agreement"] or {}).get("texts") == len(TEXTS), timeout_s=5
    )
    seen = client.get(PATH).json()["shadow_agreement"]
    assert seen == {
        "model": model,
        "shadow": teacher,
        "texts": len(TEXTS),
        "agreement": pytest.approx(same / len(TEXTS)),
    }
    assert outcomes("sentiment") == {"compared": len(TEXTS)}
    refused = client.delete(f"/v1/models/{teacher}")
    assert (refused.status_code, code_of(refused)) == (409, "model_in_use")


def test_shadows_that_cannot_be(client: httpx.Client, register: Register) -> None:
    model = register(exports=("fp32",))
    refusals = {
        (404, "model_not_found"): {"model": UNKNOWN},
        (409, "another_task"): {"model": register(task="token_classification")},
        (422, "precision_not_available"): {"model": model, "precision": "int8"},
        (422, "invalid_request"): {"model": model, "share": 0},
    }
    for (status, code), other in refusals.items():
        refused = put(client, model=model, shadow=other)
        assert (refused.status_code, code_of(refused)) == (status, code), refused.text


def test_a_project_has_so_many_endpoints(
    client: httpx.Client, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_ENDPOINTS", 1)
    model = register()
    assert put(client, model=model).status_code == 201
    refused = put(client, "/v1/endpoints/another", model=model)
    assert (refused.status_code, code_of(refused)) == (409, "too_many_endpoints")
    assert put(client, model=model, precision="int8").status_code == 200, "one that is there may be moved"


def test_metrics_are_of_the_endpoints_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_ENDPOINTS", 2)
    for name in ("first", "second", "first", "third"):
        metrics.answered_by_cascade(DEFAULT_PROJECT, name, student=1, fallback=1)
        metrics.shadowed(DEFAULT_PROJECT, name, "dropped", 0.0)
    shown = {
        sample.labels["endpoint"]
        for metric in REGISTRY.collect()
        if metric.name == "squeeze_predict_cascade_texts"
        for sample in metric.samples
    }
    assert {"first", "third"} <= shown
    assert "second" not in shown
    assert outcomes("first") == {"dropped": 2}
    assert not outcomes("second")
