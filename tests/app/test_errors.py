"""Every answer that is no success has one form, and none of them tells what it should not."""

import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import Response

from app.core.outages import Outages
from app.domain.errors import InvalidRequest, JobError, RetryableJobError, SqueezeError, Unavailable
from app.errors import add_error_handlers, status_of
from app.middleware import BodyLimit, RequestLog
from app.problems import ProblemDetails
from app.routing import PlainRoute


@pytest.fixture
def client():
    """An app whose endpoints fail in every way."""
    app = FastAPI()
    app.state.outages = Outages()
    add_error_handlers(app)
    app.add_middleware(BodyLimit, max_body_bytes=100, max_upload_bytes=1000)
    app.add_middleware(RequestLog)

    @app.get("/unexpected")
    def unexpected() -> None:
        raise ValueError("the password is hunter2")

    @app.get("/unavailable")
    def unavailable() -> None:
        raise Unavailable("store_away", "The store is away. Try again.", store="s3")

    @app.get("/quoting")
    def quoting() -> None:
        raise InvalidRequest("bad_name", "The name '\udcff' is none. Take another.", name="\udcff")

    @app.post("/body")
    def body(value: dict[str, int]) -> dict[str, int]:
        return value

    async def own(request: Request) -> Response:
        if "fail" in request.query_params:
            raise Unavailable("store_away", "The store is away. Try again.")
        return Response("fine")

    def render(problem: ProblemDetails) -> dict[str, object]:
        return {"error": f"{problem.code}: {problem.detail}"}

    app.router.routes.append(
        PlainRoute("/own", own, methods=["GET"], render_problem=render, log_level=logging.DEBUG)
    )

    @app.get("/v1/somewhere/predict")
    def predict() -> None:
        raise Unavailable("store_away", "The store is away. Try again.")

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


class TestProblem:
    def test_members(self, client):
        response = client.get("/unavailable")
        problem = response.json()
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "5"
        assert problem["type"] == "urn:squeeze:problem:store_away"
        assert problem["title"] == "Store away"
        assert problem["status"] == 503
        assert problem["instance"] == "/unavailable"
        assert problem["store"] == "s3"
        assert problem["error"]["message"] == problem["detail"] == "The store is away. Try again."
        assert problem["error"]["type"] == "server_error"

    def test_an_unexpected_error_tells_nothing_but_its_request(self, client, caplog):
        with caplog.at_level(logging.ERROR):
            response = client.get("/unexpected", headers={"x-request-id": "abc-1"})
        assert response.status_code == 500
        assert "hunter2" not in response.text
        assert response.json()["request_id"] == response.headers["x-request-id"] == "abc-1"
        assert "hunter2" in caplog.text

    def test_quoting_what_utf8_cannot_hold(self, client):
        response = client.get("/quoting")
        assert response.status_code == 422
        assert response.json()["name"] == "\udcff"

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/none", 404), ("DELETE", "/body", 405)])
    def test_of_the_router(self, client, method, path, status):
        response = client.request(method, path)
        assert response.status_code == response.json()["status"] == status
        assert response.headers["content-type"] == "application/problem+json"

    def test_the_status_is_that_of_the_nearest_family(self):
        class StoreAwayError(Unavailable):
            pass

        assert status_of(StoreAwayError) == 503
        assert status_of(RetryableJobError) == status_of(JobError) == status_of(SqueezeError) == 500


class TestRoutesWithAFormOfTheirOwn:
    def test_answer_problems_in_it(self, client):
        response = client.get("/own?fail")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert response.json() == {"error": "store_away: The store is away. Try again."}

    def test_of_the_router_too(self, client):
        response = client.post("/own")
        assert response.status_code == 405
        assert response.json() == {"error": "method_not_allowed: Method Not Allowed"}

    def test_are_not_known_by_their_path(self, client):
        response = client.get("/v1/somewhere/predict")
        assert response.json()["error"]["code"] == "store_away"

    def test_say_how_they_are_logged(self, client, caplog):
        with caplog.at_level(logging.DEBUG, "app.middleware"):
            client.get("/own")
            client.get("/own?fail")
        levels = [record.levelno for record in caplog.records if record.name == "app.middleware"]
        assert levels == [logging.DEBUG, logging.INFO]


class TestRequestId:
    def test_one_is_made(self, client):
        ids = {client.get("/unavailable").headers["x-request-id"] for _ in range(2)}
        assert len(ids) == 2

    @pytest.mark.parametrize("given", ["a b", "x" * 129, "ü", "a;b"])
    def test_one_that_could_do_harm_is_replaced(self, client, given):
        response = client.get("/unavailable", headers={"x-request-id": given.encode()})
        assert len(response.headers["x-request-id"]) == 32


class TestBodyLimit:
    def test_declared(self, client):
        response = client.post("/body", json={"a": 10**200})
        assert response.status_code == 413
        assert "100 bytes" in response.json()["detail"]

    def test_undeclared(self, client):
        chunks = (b"x" * 60 for _ in range(3))
        response = client.post("/body", content=chunks, headers={"content-type": "application/json"})
        assert response.status_code == 413

    def test_within(self, client):
        assert client.post("/body", json={"a": 1}).json() == {"a": 1}
