"""Connections to hosts that others name: to public addresses alone, and over within a given time.

A host's name is resolved once and the address that was checked is the one that is connected to: a name that
is resolved again, or that has several addresses, could lead into the network of this server.
"""

import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore
import httpx

NO_ANSWER = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
    OSError,
)
"""What is raised where a host cannot be reached, or does not go on."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 address is in its last 32 bits


class AddressRefused(Exception):  # noqa: N818 - whose fault it is remains open
    """A host has an address to which nothing is sent."""


@cache
def ssl_context() -> ssl.SSLContext:
    return httpcore.default_ssl_context()


def request_target(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return _is_public_v4(parsed.ipv4_mapped)
        if parsed in _NAT64:
            return _is_public_v4(IPv4Address(int(parsed) & 0xFFFFFFFF))
        is_tunnel = parsed.sixtofour is not None or parsed.teredo is not None
        return parsed in _GLOBAL_UNICAST and parsed.is_global and not is_tunnel
    return _is_public_v4(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast


class CheckedNetwork(httpcore.NetworkBackend):
    """The network as one request may use it.

    Args:
        timeout_s: after which reading and writing end, from now on.
        allow_private: connect to any address.
        step_s: after which each single wait ends, too.
    """

    def __init__(self, *, timeout_s: float, allow_private: bool, step_s: float = math.inf) -> None:
        deadline = time.monotonic() + timeout_s
        self._remaining: Callable[[], float] = lambda: min(step_s, deadline - time.monotonic())
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline is what counts
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers.

        Raises:
            AddressRefused: one of its addresses is not public.
            httpcore.ConnectError: it has none, or none answers.
        """
        failure = httpcore.ConnectError(f"{host} has no address")
        for address in self._checked_addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, _positive(self._remaining()), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = httpcore.ConnectError(str(error))
            else:
                return _TimedStream(stream, self._remaining)
        raise failure

    def _checked_addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host} has an address that is not public")
        return addresses


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends with the time of the whole: many short waits are a long one."""

    def __init__(self, stream: httpcore.NetworkStream, remaining: Callable[[], float]) -> None:
        self._stream = stream
        self._remaining = remaining

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _positive(self._remaining()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _positive(self._remaining()))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _positive(self._remaining()))
        return _TimedStream(stream, self._remaining)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _positive(seconds: float) -> float:
    """Of a socket's timeout: none at all would not wait, and be another error."""
    return max(seconds, 1e-3)
