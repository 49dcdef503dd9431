"""Metrics of this process, and of those that share its listening socket: a scrape reaches any one of them."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

logger = logging.getLogger(__name__)

_LABEL: Final = "process"
"""Of every sample where there are several processes: each counts for itself, and sums over them are right."""

_PATIENCE_S: Final = 2.0
"""With a process that does not answer; its samples are missing then, as those of a replica that is away."""


class ProcessMetrics:
    """Belongs to one event loop.

    Args:
        place: unix socket of this process, in a folder with those of the others; its name is that of the
            process. None: this process is alone.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._place = place
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the others from now on."""
        if self._place is not None:
            self._place.unlink(missing_ok=True)  # of one that ended before its time
            self._server = await asyncio.start_unix_server(self._tell, self._place)

    async def close(self) -> None:
        if self._server is not None and self._place is not None:
            self._server.close()
            self._place.unlink(missing_ok=True)

    async def text(self) -> bytes:
        """In Prometheus's text format."""
        if self._place is None:
            return generate_latest(REGISTRY)
        others = [place for place in self._place.parent.iterdir() if place != self._place]
        told = await asyncio.gather(*map(_ask, others))
        texts = {self._place.stem: generate_latest(REGISTRY)}
        texts |= {place.stem: text for place, text in zip(others, told, strict=True) if text is not None}
        return await asyncio.to_thread(_joined, texts)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(generate_latest(REGISTRY))
            await writer.drain()
        writer.close()


async def _ask(place: Path) -> bytes | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(place)
            try:
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        logger.warning("process %s tells no metrics: %s", place.stem, error)
        return None


def _joined(texts: Mapping[str, bytes]) -> bytes:
    """The samples of all processes, each with the name of its own."""
    families: dict[str, Metric] = {}
    for process, text in sorted(texts.items()):
        for found in text_string_to_metric_families(text.decode()):
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            family.samples += [
                Sample(sample.name, {_LABEL: process, **sample.labels}, sample.value)
                for sample in found.samples
            ]

    class Found(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from families.values()

    registry = CollectorRegistry()
    registry.register(Found())
    return generate_latest(registry)
