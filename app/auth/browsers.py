"""What browsers send for other sites, which no key and no address tells from what their user sends.

A page can have its name point to 127.0.0.1 (DNS rebinding), and can send forms anywhere: the Host and Origin
headers, which it cannot write, show both.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from app.core.settings import Settings
from app.domain.errors import Forbidden

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ANY: Final = "*"
_NAMES_AT_ONCE = 256


class _Host(NamedTuple):
    """What a Host header says."""

    name: str
    is_own: bool
    is_local: bool
    """Whether it names this machine as such, or by a name that a setting gives."""


class Sites:
    """Which names the service has: whoever uses another has been led here by somebody else."""

    def __init__(self, settings: Settings) -> None:
        given = frozenset(name.lower() for name in settings.allowed_hosts)
        local = _LOCAL_NAMES | ({settings.host.lower()} if settings.is_local else set())
        any_is_own = _ANY in given or not (given or settings.is_local)
        own = given or local
        self._given = given

        def read(header: bytes) -> _Host:
            name = _name(header.decode("latin-1").lower())
            return _Host(name, is_own=any_is_own or name in own, is_local=name in local or name in given)

        self._read_host = lru_cache(_NAMES_AT_ONCE)(read)

    def check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a request that a browser sends for another site.

        Raises:
            Forbidden: it names another host, or is to change something and comes from another origin.
        """
        host = self._read_host(headers.get(b"host", b""))
        if not host.is_own:
            raise Forbidden(
                "host_not_allowed",
                f"The API does not answer under the name {host.name[:100]!r}. Its names are set by "
                "SQUEEZE_ALLOWED_HOSTS.",
                host=host.name[:100],
            )
        if method not in _SAFE_METHODS:
            self._check_origin(headers)

    def is_local(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request names this machine as such, or by a name that a setting gives."""
        return self._read_host(headers.get(b"host", b"")).is_local

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        # Browsers leave Origin out of few such requests, and no other client sends Sec-Fetch-Site.
        if b"origin" not in headers and b"sec-fetch-site" not in headers:
            return
        origin = _text(headers, b"origin")
        if origin:
            scheme, _, place = origin.partition("://")
            is_own = bool(scheme) and (place == _text(headers, b"host") or _name(place) in self._given)
        else:
            is_own = _text(headers, b"sec-fetch-site") in ("same-origin", "none")
        if not is_own:
            raise Forbidden(
                "origin_not_allowed",
                f"A page of {origin[:100] or 'another site'!r} may not send this request. Pages that may are "
                "served under the API's own address or a name in SQUEEZE_ALLOWED_HOSTS.",
                origin=origin[:100],
            )


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").lower()


def _name(host: str) -> str:
    """Without the port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
