"""Requests to a hub, and to the hosts that keep its files, which it redirects to."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpcore
import httpx

from app.core.network import NO_ANSWER, AddressRefused, CheckedNetwork, request_target, ssl_context

_MAX_REDIRECTS = 5
_REDIRECTS = (
    *(HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER),
    *(HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT),
)
_HEADERS = {"user-agent": "Squeeze/1", "accept": "*/*", "accept-encoding": "identity"}


class HubFailure(Exception):  # noqa: N818 - its fault, not ours
    """The hub does not answer, or not as a hub does."""


class HubConnection:
    """A hub for a while, without credentials: the server's own are not for its clients.

    Args:
        endpoint: URL without a slash at its end.
        redirects: hosts that it may redirect to by https, and those beneath them.
        allow_private: whether its own address may be private; those of other hosts may not.
        step_s: longest single wait.
        timeout_s: for all requests, from now on.
    """

    def __init__(
        self, endpoint: str, *, redirects: Sequence[str], allow_private: bool, step_s: float, timeout_s: float
    ) -> None:
        self._endpoint = httpx.URL(endpoint)
        self._redirects = [host.lower() for host in redirects]
        self._own, self._others = (
            httpcore.ConnectionPool(
                ssl_context=ssl_context(),
                network_backend=CheckedNetwork(timeout_s=timeout_s, step_s=step_s, allow_private=private),
            )
            for private in (allow_private, False)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own.close()
        self._others.close()

    @contextmanager
    def get(self, path: str) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The status of what a path leads to, and its content in chunks.

        Raises:
            HubFailure: nothing that is allowed answers in time; also while chunks are read.
        """
        with ExitStack() as stack:
            with _failures():
                response = self._follow(httpx.URL(f"{self._endpoint}{path}"), stack)
            yield response.status, _chunks(response)

    def _follow(self, url: httpx.URL, stack: ExitStack) -> httpcore.Response:
        for _ in range(_MAX_REDIRECTS):
            pool = self._own if self._is_own(url) else self._others
            response = stack.enter_context(pool.stream("GET", request_target(url), headers=_headers(url)))
            location = _location(response)
            if location is None:
                return response
            url = self._allowed(url.join(location))
        raise HubFailure("it redirects without end")

    def _is_own(self, url: httpx.URL) -> bool:
        return (url.scheme, url.netloc) == (self._endpoint.scheme, self._endpoint.netloc)

    def _allowed(self, url: httpx.URL) -> httpx.URL:
        host = url.host.lower()
        is_known = any(host == known or host.endswith(f".{known}") for known in self._redirects)
        if not self._is_own(url) and not (is_known and url.scheme == "https"):
            raise HubFailure(f"it redirects to {url.scheme}://{host}, which is not allowed")
        return url


def _chunks(response: httpcore.Response) -> Iterator[bytes]:
    with _failures():
        yield from response.iter_stream()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (AddressRefused, httpx.InvalidURL) as error:
        raise HubFailure(str(error)) from None
    except NO_ANSWER as error:
        raise HubFailure(f"{type(error).__name__}: {error}".rstrip(": ")) from error


def _headers(url: httpx.URL) -> list[tuple[str, str]]:
    return [("host", url.netloc.decode("ascii")), *_HEADERS.items()]


def _location(response: httpcore.Response) -> str | None:
    """Where a redirect leads to; None for any other answer."""
    if response.status not in _REDIRECTS:
        return None
    given = [value.decode("latin-1") for name, value in response.headers if name.lower() == b"location"]
    if not given:
        raise HubFailure("it redirects to nowhere")
    return given[0]
