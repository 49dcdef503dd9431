"""The clients: ``Squeeze`` and ``AsyncSqueeze``."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Self, TypeVar

import httpx

from squeeze_client import effects
from squeeze_client.data import Data
from squeeze_client.effects import Async, Items, M, Steps, Sync, operation
from squeeze_client.errors import error_of
from squeeze_client.jobs import Jobs
from squeeze_client.models import Models
from squeeze_client.operations import call
from squeeze_client.resources import Resource, id_of
from squeeze_client.responses import Model, Readiness
from squeeze_client.sending import send, send_once
from squeeze_client.serving import Endpoints, Keys

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 60.0


class _Calls(Resource[M]):
    """What both clients can do.

    Attributes:
        models: teachers and students.
        data: data sets.
        jobs: trainings, compressions and searches.
        endpoints: names that stand for models.
        keys: API keys.
    """

    def __init__(self, url: str | None) -> None:
        super().__init__(self)
        self.url = (url or os.environ.get("SQUEEZE_URL") or DEFAULT_URL).rstrip("/").removesuffix("/v1")
        self.models: Models[M] = Models(self)
        self.data: Data[M] = Data(self)
        self.jobs: Jobs[M] = Jobs(self)
        self.endpoints: Endpoints[M] = Endpoints(self)
        self.keys: Keys[M] = Keys(self)

    @operation
    def predict(
        self, /, model: str | Model, inputs: Any, *, timeout_s: float | None = None, **parameters: Any
    ) -> Steps[list[Any]]:
        """Predictions, one for each input.

        Args:
            model: a model, its id, or the name of an endpoint.
            inputs: a text, a pair as ``{"text": ..., "text_pair": ...}``, a question, or several of
                these: a list, a pandas ``Series``, an iterator.
            timeout_s: for the answer.
            parameters: of the task, such as ``top_k`` or ``precision``.
        """
        is_one = isinstance(inputs, str | Mapping)
        body: dict[str, Any] = {"inputs": [inputs] if is_one else list(inputs)}
        if parameters:
            body["parameters"] = parameters
        request = call("predict", {"model_id": id_of(model)}, json=body, timeout_s=timeout_s)
        answer = yield from send(request)
        return list(answer.json())

    @operation
    def ready(self) -> Steps[Readiness]:
        """Whether the service can work, by part; one that cannot says so by 503."""
        answer = yield from send_once(call("getReadiness"))
        if answer.is_error and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            raise error_of(answer)
        return Readiness.model_validate(answer.json())


def _headers(api_key: str | None) -> Mapping[str, str]:
    from squeeze_client import __version__

    key = api_key or os.environ.get("SQUEEZE_API_KEY")
    headers = {"user-agent": f"squeeze-client/{__version__}"}
    return headers | ({"authorization": f"Bearer {key}"} if key else {})


class Squeeze(_Calls[Sync]):
    """A client whose calls block. May be shared by threads.

    Args:
        url: of the service; default: ``SQUEEZE_URL``, or this machine's port 8000.
        api_key: default: ``SQUEEZE_API_KEY``; requests from the service's own machine may need none.
        timeout_s: for one answer; uploads have longer.
        transport: in place of httpx's own.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url)
        timeout = httpx.Timeout(timeout_s, connect=10)
        self.http = httpx.Client(
            base_url=self.url, headers=_headers(api_key), timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def run(self, steps: Steps[T]) -> T:
        """Carry out a call."""
        return effects.run(steps, self.http)

    def iterate(self, items: Items[T]) -> Iterator[T]:
        """Carry out a listing."""
        return effects.iterate(items, self.http)


class AsyncSqueeze(_Calls[Async]):
    """A client whose calls are awaited. Takes what ``Squeeze`` takes."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url)
        timeout = httpx.Timeout(timeout_s, connect=10)
        self.http = httpx.AsyncClient(
            base_url=self.url, headers=_headers(api_key), timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call."""
        return await effects.run_async(steps, self.http)

    def iterate(self, items: Items[T]) -> AsyncIterator[T]:
        """Carry out a listing."""
        return effects.iterate_async(items, self.http)
