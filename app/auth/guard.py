"""The one place where requests are admitted."""

from typing import Final

from starlette.types import Scope as Connection

from app.auth.key_cache import KeyCache
from app.auth.principal import Principal
from app.core.db import DEFAULT_PROJECT, Database
from app.core.settings import Settings
from app.domain.errors import Unauthenticated
from app.domain.scopes import Scope

LOOPBACK: Final = Principal(DEFAULT_PROJECT, frozenset({"read", "predict", "write"}), key_id=None)
"""Whoever sends requests from this machine, where that is enough."""

_LOOPBACK_ADDRESSES = ("127.", "::1")
_PROXY_HEADERS = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")
_BEARER = "bearer "
_PREFIX = "sqz_"


class Guard:
    """Finds out who sends a request and refuses what they may not do. Belongs to one event loop."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.keys = KeyCache(database)
        self._loopback_without_key = settings.loopback_without_key

    async def admit(self, connection: Connection, needed: Scope) -> None:
        """Let a request through, which then has a ``principal`` in its state.

        Raises:
            Unauthenticated: it has no valid key and needs one.
            Forbidden: its key lacks the scope.
        """
        headers = dict(connection["headers"])
        principal = await self._principal(connection, headers)
        connection["state"]["principal"] = principal
        principal.require(needed)

    async def close(self) -> None:
        """End what goes on beside requests."""
        await self.keys.close()

    async def _principal(self, connection: Connection, headers: dict[bytes, bytes]) -> Principal:
        given = headers.get(b"authorization", b"").decode("latin-1")
        token = given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else ""
        # Clients of other services send their own tokens, or made-up ones, also where none is needed.
        if not token.startswith(_PREFIX) and self._loopback_without_key and _is_local(connection, headers):
            return LOOPBACK
        if not token:
            raise Unauthenticated(
                "api_key_required",
                "This needs an API key: send the header 'Authorization: Bearer sqz_...'. "
                "'squeeze keys create' makes one.",
            )
        return await self.keys.find(token)


def _is_local(connection: Connection, headers: dict[bytes, bytes]) -> bool:
    """Whether a request comes from this machine and not through a proxy on it."""
    client = connection.get("client")
    return (
        client is not None
        and client[0].startswith(_LOOPBACK_ADDRESSES)
        and not any(name in headers for name in _PROXY_HEADERS)
    )
