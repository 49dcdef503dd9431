"""Every route says who may use it: what the guard checks is what the description tells."""

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app.auth.routes import AdminRoute, PlainProtectedRoute, ProtectedRoute, PublicRoute
from app.core.settings import Settings
from app.inference.protocols import inference_routes
from app.main import ROUTERS, create_app

PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
PUBLIC |= {"/v2", "/v2/health/live", "/v2/health/ready"}
PUBLIC |= {"/console", "/console/{path:path}"}
PUBLIC_METHODS = {("/v1/uploads", "OPTIONS")}
"""Of paths whose other methods are protected: tus clients ask what the server can do."""


def routes() -> list[BaseRoute]:
    return [*inference_routes(), *(route for router in ROUTERS for route in router.routes)]


def test_all_routes_of_the_app_are_these():
    """None was added to the app past the lists that are looked at here."""
    app = create_app(Settings())
    added = {route.path for route in app.router.routes if hasattr(route, "path")}
    assert added - {route.path for route in inference_routes()} <= PUBLIC
    assert [r.original_router for r in app.router.routes if not hasattr(r, "path")] == list(ROUTERS)


@pytest.mark.parametrize("route", routes(), ids=lambda route: f"{route.name}")
def test_a_route_is_protected_or_public(route):
    assert isinstance(route, ProtectedRoute | PlainProtectedRoute | PublicRoute)
    is_public = route.path in PUBLIC or {(route.path, method) for method in route.methods} <= PUBLIC_METHODS
    assert isinstance(route, PublicRoute) == is_public


def test_a_route_that_says_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(ROUTERS[0], "routes", [APIRoute("/v1/open", lambda: None)])
    with pytest.raises(TypeError, match="/v1/open"):
        create_app(Settings())


def test_scopes():
    scopes = {(method, r.path): r.scope for r in routes() if hasattr(r, "scope") for method in r.methods}
    assert {path for (_, path), scope in scopes.items() if scope == "predict"} == {
        "/v1/models/{model_id}/predict",
        "/v1/models/{model_id}",
        "/models/{model_id}",
        "/models/{model_id}/pipeline/{pipeline}",
        *(f"{at}/models/{{model_id}}/{what}" for at in ("", "/v1") for what in ("health", "info")),
        "/v1/embeddings",
        "/v1/classify",
        "/v1/rerank",
        "/v2/models/{model_id}",
        "/v2/models/{model_id}/infer",
        "/v2/models/{model_id}/ready",
        "/v2/models/{model_id}/versions/{version}",
        "/v2/models/{model_id}/versions/{version}/infer",
        "/v2/models/{model_id}/versions/{version}/ready",
        "/v2/repository/index",
        "/v2/repository/models/{model_id}/load",
        "/v2/repository/models/{model_id}/unload",
    }
    admin = {path for (_, path), scope in scopes.items() if scope == "admin"}
    assert admin == {r.path for r in routes() if isinstance(r, AdminRoute)}
    assert {path.split("/")[2] for path in admin} == {"keys", "projects", "audit"}
    for (method, path), scope in scopes.items():
        if scope in ("read", "write"):
            assert (scope == "read") == (method in ("GET", "HEAD") or path == "/v1/plans"), path


def test_the_description_names_scheme_scope_and_refusals():
    document = create_app(Settings()).openapi()
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    described = set()
    for route in (route for route in routes() if route.include_in_schema):
        for method in route.methods:
            path = getattr(route, "path_format", route.path)
            operation = document["paths"][path][method.lower()]
            described.add((path, method.lower()))
            if isinstance(route, PublicRoute):
                assert "security" not in operation
            else:
                assert operation["security"] == [{name: [route.scope]}]
                assert {"401", "403"} <= operation["responses"].keys()
    assert described == {(path, method) for path, ops in document["paths"].items() for method in ops}
