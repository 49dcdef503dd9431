"""The one place where requests are admitted."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope as Connection

from app.auth.browsers import Sites
from app.auth.key_cache import KeyCache
from app.auth.limits import RequestLimits, show_allowance
from app.auth.prediction_quota import PredictionQuota
from app.auth.principal import Principal
from app.core.db import DEFAULT_PROJECT, Database
from app.core.logging import add_to_log_context
from app.core.outages import Outages
from app.core.settings import Settings
from app.domain.errors import RateLimited, Unauthenticated
from app.domain.scopes import Scope

LOOPBACK: Final = Principal(DEFAULT_PROJECT, frozenset({"read", "predict", "write"}), key_id=None)
"""Whoever sends requests from this machine, where that is enough."""

_LOOPBACK_ADDRESSES = ("127.", "::1")
_PROXY_HEADERS = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")
_BEARER = "bearer "
_PREFIX = "sqz_"


class Guard:
    """Finds out who sends a request and refuses what they may not do. Belongs to one event loop."""

    def __init__(self, settings: Settings, database: Database, outages: Outages | None = None) -> None:
        self.keys = KeyCache(database, outages=outages)
        self.predictions = PredictionQuota(database, outages=outages)
        self.limits = RequestLimits()
        self._sites = Sites(settings)
        self._loopback_without_key = settings.loopback_without_key

    async def admit(self, connection: Connection, needed: Scope, *, media_types: Collection[str]) -> None:
        """Let a request through, which then has a ``principal`` in its state.

        Args:
            connection: the request.
            needed: what its key must allow.
            media_types: of the body, if the route takes one.

        Raises:
            Unauthenticated: it has no valid key and needs one.
            RateLimited: its key has sent too many.
            Forbidden: its key lacks the scope, or a browser sends it for another site.
            HTTPException: its body is of another media type.
        """
        headers = dict(connection["headers"])
        self._sites.check(connection["method"], headers)
        principal = await self._principal(connection, headers)
        connection["state"]["principal"] = principal
        add_to_log_context(project_id=principal.project_id)
        if principal.max_requests_per_minute is not None:
            self._count(connection, principal, principal.max_requests_per_minute)
        principal.require(needed)
        if media_types:
            _check_media_type(headers, media_types)

    async def while_admitted(
        self, connection: Connection, chunks: AsyncGenerator[bytes]
    ) -> AsyncGenerator[bytes]:
        """The chunks of an answer that takes long, for as long as the key of its request is valid."""
        headers = dict(connection["headers"])
        async with aclosing(chunks):
            async for chunk in chunks:
                try:
                    await self._principal(connection, headers)
                except Unauthenticated:
                    return
                yield chunk

    async def close(self) -> None:
        """End what goes on beside requests."""
        await self.predictions.close()
        await self.keys.close()

    def _count(self, connection: Connection, principal: Principal, per_minute: int) -> None:
        allowance = self.limits.take(principal.name, per_minute)
        show_allowance(connection, allowance)
        if allowance.wait_s:
            raise RateLimited(
                "rate_limit_exceeded",
                f"This API key may send {per_minute:,} requests a minute. Send fewer, or ask the operator "
                "for more.",
                retry_after_s=allowance.wait_s,
                policy=allowance.policy,
                max_requests_per_minute=per_minute,
            )

    def _is_local(self, connection: Connection, headers: dict[bytes, bytes]) -> bool:
        """Whether a request comes from this machine, not through a proxy on it, and that is enough."""
        client = connection.get("client")
        return (
            self._loopback_without_key
            and client is not None
            and client[0].startswith(_LOOPBACK_ADDRESSES)
            and not any(name in headers for name in _PROXY_HEADERS)
            and self._sites.is_local(headers)
        )

    async def _principal(self, connection: Connection, headers: dict[bytes, bytes]) -> Principal:
        given = headers.get(b"authorization", b"").decode("latin-1")
        token = given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else ""
        # Clients of other services send their own tokens, or made-up ones, also where none is needed.
        if not token.startswith(_PREFIX) and self._is_local(connection, headers):
            return LOOPBACK
        if not token:
            raise Unauthenticated(
                "api_key_required",
                "This needs an API key: send the header 'Authorization: Bearer sqz_...'. "
                "'squeeze keys create' makes one.",
            )
        return await self.keys.find(token)


@asynccontextmanager
async def counted_predictions(request: Request, texts: int) -> AsyncIterator[None]:
    """Count the predictions of the block against the quota of the request's project.

    Raises:
        RateLimited: the project may have no more of them today.
    """
    guard: Guard = request.app.state.guard
    principal: Principal = request.state.principal
    await guard.predictions.prepare(principal.project_id, texts)
    with guard.predictions.taking(principal.project_id, texts) as allowance:
        if allowance is not None:
            show_allowance(request.scope, allowance)
        yield


def _check_media_type(headers: dict[bytes, bytes], media_types: Collection[str]) -> None:
    given = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    if given not in media_types and (given or has_body):
        named = " or ".join(filter(None, media_types))
        raise HTTPException(415, f"The body must be {named}: send it with that Content-Type.")
