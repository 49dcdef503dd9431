"""``client.endpoints`` and ``client.keys``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from squeeze_client.effects import Items, M, Steps, listing, operation
from squeeze_client.operations import call
from squeeze_client.resources import Resource, id_of, pages
from squeeze_client.responses import Endpoint, Key, KeyWithSecret, Model
from squeeze_client.sending import send


class Endpoints(Resource[M]):
    """Names that stand for models."""

    @operation
    def set(
        self,
        name: str,
        model: str | Model,
        *,
        precision: str | None = None,
        canary: Mapping[str, Any] | None = None,
        fallback: Mapping[str, Any] | None = None,
    ) -> Steps[Endpoint]:
        """Point a name at a model, and make it if there is none."""
        target = {"model": id_of(model), "precision": precision, "canary": canary, "fallback": fallback}
        body = {field: value for field, value in target.items() if value is not None}
        answer = yield from send(call("setEndpoint", {"endpoint_name": name}, json=body))
        return Endpoint.model_validate(answer.json())

    @operation
    def roll_back(self, name: str) -> Steps[Endpoint]:
        """Point a name at what it stood for before."""
        request = call("rollBackEndpoint", {"endpoint_name": name}, can_repeat=False)
        answer = yield from send(request)
        return Endpoint.model_validate(answer.json())

    @listing
    def list(self, *, limit: int | None = None) -> Items[Endpoint]:
        """Endpoints, newest first."""
        return pages("listEndpoints", Endpoint.model_validate, limit=limit)

    @operation
    def get(self, name: str) -> Steps[Endpoint]:
        """An endpoint."""
        answer = yield from send(call("getEndpoint", {"endpoint_name": name}))
        return Endpoint.model_validate(answer.json())

    @operation
    def delete(self, name: str) -> Steps[None]:
        """Delete an endpoint; its model stays."""
        yield from send(call("deleteEndpoint", {"endpoint_name": name}))


class Keys(Resource[M]):
    """API keys; they need the scope ``admin``."""

    @operation
    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("read", "predict", "write"),
        expires_at: datetime | None = None,
        project: str | None = None,
    ) -> Steps[KeyWithSecret]:
        """Create a key. The answer has its secret, which cannot be shown again."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        if project is not None:
            body["project"] = project
        answer = yield from send(call("createKey", json=body, can_repeat=False))
        return KeyWithSecret.model_validate(answer.json())

    @listing
    def list(self, *, limit: int | None = None) -> Items[Key]:
        """Keys, newest first."""
        return pages("listKeys", Key.model_validate, limit=limit)

    @operation
    def rotate(self, key: str | Key, *, overlap_s: int = 24 * 3600) -> Steps[KeyWithSecret]:
        """Give a key a new secret; the previous one works for ``overlap_s`` more seconds."""
        body = {"overlap_s": overlap_s}
        request = call("rotateKey", {"key_id": id_of(key)}, json=body, can_repeat=False)
        answer = yield from send(request)
        return KeyWithSecret.model_validate(answer.json())

    @operation
    def revoke(self, key: str | Key) -> Steps[Key]:
        """End a key, for good."""
        answer = yield from send(call("revokeKey", {"key_id": id_of(key)}))
        return Key.model_validate(answer.json())
