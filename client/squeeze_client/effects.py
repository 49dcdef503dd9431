"""What a call does, apart from how it waits: written once, carried out by a sync and an async client.

A call is a generator. It yields effects (a request, a pause, a stream), gets their results, and returns
its own. ``Operation`` and ``Listing`` make a method of one: on a ``Squeeze`` it returns the result or an
iterator, on an ``AsyncSqueeze`` an awaitable or an async iterator.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

import httpx

T = TypeVar("T")
P = ParamSpec("P")
M = TypeVar("M", bound="Mode")


class Mode:
    """How calls are carried out."""


class Sync(Mode):
    """Each call blocks."""


class Async(Mode):
    """Each call is awaited."""


@dataclass(frozen=True)
class Request:
    """A request to the API, answered with an ``httpx.Response`` of any status.

    Args:
        can_repeat: whether sending it again does no harm, though the first may have been carried out.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    files: Mapping[str, Any] | None = None
    content: bytes | None = None
    timeout_s: float | None = None
    can_repeat: bool = True

    def build(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        timeout = {} if self.timeout_s is None else {"timeout": httpx.Timeout(self.timeout_s, connect=10)}
        return http.build_request(
            self.method,
            self.path,
            params={name: value for name, value in self.params.items() if value is not None},
            headers=dict(self.headers),
            json=self.json,
            data=self.form,
            files=self.files,
            content=self.content,
            **timeout,  # type: ignore[arg-type]
        )

    def perform(self, http: httpx.Client) -> httpx.Response:
        return http.send(self.build(http))

    async def perform_async(self, http: httpx.AsyncClient) -> httpx.Response:
        return await http.send(self.build(http))


@dataclass(frozen=True)
class Sleep:
    """A pause."""

    seconds: float

    def perform(self, http: httpx.Client) -> None:  # noqa: ARG002
        time.sleep(self.seconds)

    async def perform_async(self, http: httpx.AsyncClient) -> None:  # noqa: ARG002
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Open:
    """A request whose answer is read piece by piece; gives an ``Opened``."""

    request: Request
    pieces: Literal["lines", "bytes"]

    def perform(self, http: httpx.Client) -> "Opened":
        response = http.send(self.request.build(http), stream=True)
        if response.is_error:
            response.read()
            response.close()
            return Opened(response, None)
        return Opened(response, response.iter_lines() if self.pieces == "lines" else response.iter_bytes())

    async def perform_async(self, http: httpx.AsyncClient) -> "Opened":
        response = await http.send(self.request.build(http), stream=True)
        if response.is_error:
            await response.aread()
            await response.aclose()
            return Opened(response, None)
        return Opened(response, response.aiter_lines() if self.pieces == "lines" else response.aiter_bytes())


@dataclass(frozen=True)
class Opened:
    """An answer that is being read; one that is an error was read as a whole."""

    response: httpx.Response
    pieces: Any


@dataclass(frozen=True)
class Next:
    """The next piece of an answer; None at its end."""

    opened: Opened

    def perform(self, http: httpx.Client) -> Any:  # noqa: ARG002
        return next(self.opened.pieces, None)

    async def perform_async(self, http: httpx.AsyncClient) -> Any:  # noqa: ARG002
        return await anext(self.opened.pieces, None)


@dataclass(frozen=True)
class Close:
    """No more of an answer is read."""

    opened: Opened

    def perform(self, http: httpx.Client) -> None:  # noqa: ARG002
        self.opened.response.close()

    async def perform_async(self, http: httpx.AsyncClient) -> None:  # noqa: ARG002
        await self.opened.response.aclose()


@dataclass(frozen=True)
class Item(Generic[T]):
    """One entry of a listing."""

    value: T


Effect: TypeAlias = Request | Sleep | Open | Next | Close
Steps: TypeAlias = Generator[Effect, Any, T]
Items: TypeAlias = Generator[Effect | Item[T], Any, None]


def run(steps: Steps[T], http: httpx.Client) -> T:
    """Carry out a call."""
    try:
        effect = next(steps)
        while True:
            try:
                result = effect.perform(http)
            except httpx.TransportError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(result)
    except StopIteration as end:
        return cast("T", end.value)


async def run_async(steps: Steps[T], http: httpx.AsyncClient) -> T:
    """Carry out a call."""
    try:
        effect = next(steps)
        while True:
            try:
                result = await effect.perform_async(http)
            except httpx.TransportError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(result)
    except StopIteration as end:
        return cast("T", end.value)


def iterate(items: Items[T], http: httpx.Client) -> Iterator[T]:
    """Carry out a listing; what it has open is closed with the iterator."""
    opened: list[Opened] = []
    result: Any = None
    failure: httpx.TransportError | None = None
    try:
        with suppress(StopIteration):
            while True:
                effect = items.send(result) if failure is None else items.throw(failure)
                result, failure = None, None
                if isinstance(effect, Item):
                    yield effect.value
                    continue
                try:
                    result = effect.perform(http)
                except httpx.TransportError as error:
                    failure = error
                if isinstance(result, Opened):
                    opened.append(result)
    finally:
        for one in opened:
            one.response.close()


async def iterate_async(items: Items[T], http: httpx.AsyncClient) -> AsyncIterator[T]:
    """Carry out a listing; what it has open is closed with the iterator."""
    opened: list[Opened] = []
    result: Any = None
    failure: httpx.TransportError | None = None
    try:
        with suppress(StopIteration):
            while True:
                effect = items.send(result) if failure is None else items.throw(failure)
                result, failure = None, None
                if isinstance(effect, Item):
                    yield effect.value
                    continue
                try:
                    result = await effect.perform_async(http)
                except httpx.TransportError as error:
                    failure = error
                if isinstance(result, Opened):
                    opened.append(result)
    finally:
        for one in opened:
            await one.response.aclose()


class InMode(Generic[M]):
    """Something whose methods are calls that a client carries out."""

    @property
    def runner(self) -> Any:
        """The client."""
        raise NotImplementedError


class Operation(Generic[P, T]):
    """A method that is a call."""

    def __init__(self, function: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._function = function
        update_wrapper(cast("Any", self), function)

    @overload
    def __get__(self, instance: InMode[Sync], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: InMode[Async], owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, instance: InMode[Any] | None, owner: type) -> Any:
        if instance is None:
            return self
        runner = instance.runner

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return runner.run(self._function(instance, *args, **kwargs))

        return update_wrapper(call, self._function)


class Listing(Generic[P, T]):
    """A method whose call gives entries one by one."""

    def __init__(self, function: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self._function = function
        update_wrapper(cast("Any", self), function)

    @overload
    def __get__(self, instance: InMode[Sync], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: InMode[Async], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: InMode[Any] | None, owner: type) -> Any:
        if instance is None:
            return self
        runner = instance.runner

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return runner.iterate(self._function(instance, *args, **kwargs))

        return update_wrapper(call, self._function)


def operation(function: Callable[Concatenate[Any, P], Steps[T]]) -> Operation[P, T]:
    """Make a method of a call."""
    return Operation(function)


def listing(function: Callable[Concatenate[Any, P], Items[T]]) -> Listing[P, T]:
    """Make a method of a listing."""
    return Listing(function)
