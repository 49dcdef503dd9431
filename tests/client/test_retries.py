"""What is repeated, after which pause, and which error remains."""

import json
from collections.abc import Iterator

import httpx
import pandas as pd
import pytest
from squeeze_client import (
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    RateLimited,
    Squeeze,
)
from squeeze_client.effects import Sleep

MODEL = {
    "id": "mdl_1",
    "created_at": "2026-01-01T00:00:00Z",
    "name": "m",
    "origin": "upload",
    "status": "ready",
    "error": None,
    "architecture": None,
    "task": None,
    "labels": None,
    "parameters": None,
    "size_bytes": 1,
    "sha256": None,
    "lineage": {"job": None, "teacher": None, "dataset": None, "method": None},
    "metrics": {},
    "manifest": None,
}
KEY = {
    "id": "key_1",
    "created_at": "2026-01-01T00:00:00Z",
    "name": "k",
    "project": "p",
    "scopes": [],
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "secret": "s",
}


class Answers:
    """Answers in turn; an exception is raised."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(Sleep, "perform", lambda self, http: pauses.append(self.seconds))
    return pauses


def client_of(answers: Answers) -> Squeeze:
    return Squeeze(transport=httpx.MockTransport(answers))


def problem(status: int, code: str = "broken", **headers: str) -> httpx.Response:
    body = {"type": f"urn:squeeze:problem:{code}", "title": "T", "detail": "D", "request_id": "r1"}
    body["errors"] = [{"detail": "too small", "pointer": "#/target/compression_ratio"}]
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=headers)


def test_passing_faults_are_retried_with_growing_pauses(pauses):
    answers = Answers(httpx.ReadTimeout("slow"), problem(502), problem(503), httpx.Response(200, json=MODEL))
    assert client_of(answers).models.get("mdl_1").id == "mdl_1"
    for pause, longest in zip(pauses, (0.5, 1, 2), strict=True):
        assert longest / 2 <= pause <= longest


def test_the_service_sets_the_pause(pauses):
    answers = Answers(problem(429, retry_after="7"), httpx.Response(200, json=MODEL))
    client_of(answers).models.get("mdl_1")
    assert pauses == [7.0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(422), InvalidRequest),
        (problem(409, x_should_retry="false"), Conflict),
        (problem(429, retry_after="3600"), RateLimited),
    ],
)
def test_what_waiting_does_not_help_is_not_repeated(pauses, answer, kind):
    with pytest.raises(kind) as raised:
        client_of(Answers(answer)).models.get("mdl_1")
    error = raised.value
    assert (error.type, error.title, error.detail) == ("urn:squeeze:problem:broken", "T", "D")
    assert (error.request_id, error.pointers) == ("r1", ["#/target/compression_ratio"])
    assert "#/target/compression_ratio: too small" in str(error)
    assert pauses == []


def test_a_creation_has_the_same_key_each_time(pauses):
    answers = Answers(problem(503), problem(409, "request_in_progress"), httpx.Response(201, json=MODEL))
    client_of(answers).models.pull("some/model")
    keys = {request.headers["idempotency-key"] for request in answers.requests}
    assert len(answers.requests) == 3
    assert len(keys) == 1


def test_a_creation_without_a_key_is_not_repeated_once_it_may_have_been_done(pauses):
    with pytest.raises(ConnectionFailed, match="SQUEEZE_URL"):
        client_of(Answers(httpx.ReadTimeout("slow"))).keys.create("k")
    answers = Answers(httpx.ConnectError("refused"), problem(503), httpx.Response(201, json=KEY))
    assert client_of(answers).keys.create("k").secret == "s"


def test_it_gives_up(pauses):
    answers = Answers(*[httpx.ConnectError("refused")] * 5)
    with pytest.raises(ConnectionFailed):
        client_of(answers).models.get("mdl_1")
    assert len(pauses) == 4


def test_the_environment_names_service_and_key(monkeypatch):
    monkeypatch.setenv("SQUEEZE_URL", "https://squeeze.example/v1")
    monkeypatch.setenv("SQUEEZE_API_KEY", "sqz_x")
    answers = Answers(httpx.Response(200, json=MODEL))
    client_of(answers).models.get("mdl_1")
    [request] = answers.requests
    assert str(request.url) == "https://squeeze.example/v1/models/mdl_1"
    assert request.headers["authorization"] == "Bearer sqz_x"


def test_an_unusable_retry_after_leaves_the_pause_to_the_client(pauses):
    answers = Answers(problem(429, retry_after="nan"), httpx.Response(200, json=MODEL))
    client_of(answers).models.get("mdl_1")
    [pause] = pauses
    assert 0.25 <= pause <= 0.5


def test_an_address_without_a_scheme_is_refused_at_once(pauses):
    with pytest.raises(ConnectionFailed, match="SQUEEZE_URL"):
        Squeeze("127.0.0.1").models.get("mdl_1")
    assert pauses == []


def test_readiness_is_asked_once(pauses):
    with pytest.raises(ConnectionFailed, match="SQUEEZE_URL"):
        client_of(Answers(httpx.ConnectError("refused"))).ready()
    with pytest.raises(NotFound):
        client_of(Answers(problem(404))).ready()
    assert pauses == []


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ("a", ["a"]),
        ({"text": "a", "text_pair": "b"}, [{"text": "a", "text_pair": "b"}]),
        (("a", "b"), ["a", "b"]),
        ((text for text in "ab"), ["a", "b"]),
        (pd.Series(["a", "b"]), ["a", "b"]),
    ],
    ids=["text", "pair", "tuple", "generator", "series"],
)
def test_what_is_not_one_input_is_several(inputs, sent):
    answers = Answers(httpx.Response(200, json=[[]] * len(sent)))
    client_of(answers).predict("mdl_1", inputs)
    assert json.loads(answers.requests[0].content)["inputs"] == sent


def test_a_download_that_breaks_off_goes_on_when_it_is_repeated(pauses, tmp_path):
    def breaks_off() -> Iterator[bytes]:
        yield b"ab"
        raise httpx.ReadError("reset")

    entries = {name: {"size_bytes": 4} for name in ("config.json", "model.safetensors")}
    model = httpx.Response(200, json={**MODEL, "manifest": {"files": {"entries": entries}}})
    answers = Answers(
        model, httpx.Response(200, content=b"{  }"), httpx.Response(200, content=breaks_off()),
        model, httpx.Response(200, content=b"abcd"),
    )  # fmt: skip
    client = client_of(answers)
    with pytest.raises(ConnectionFailed, match="reset"):
        client.models.download("mdl_1", tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    client.models.download("mdl_1", tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"abcd"
    assert len(answers.requests) == 5
