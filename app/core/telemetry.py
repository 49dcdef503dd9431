"""Traces, where an endpoint for them is configured: the one module that knows OpenTelemetry.

Without ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` nothing is imported, and a
span is an object that does nothing. With one of them the other standard variables hold too, such as
``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER`` and ``OTEL_EXPORTER_OTLP_HEADERS``; the protocol is OTLP over
HTTP. Spans have ids, names of our own, counts and times: nothing of what clients send, no paths and query
strings, and no messages of errors, which may quote them.
"""

import logging
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from app.core.outages import Outages

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context

logger = logging.getLogger(__name__)

SpanKind: TypeAlias = Literal["internal", "server", "consumer"]
Attributes: TypeAlias = Mapping[str, str | int | float | bool]

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTER_LOG: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_PARENT: Final = "traceparent"
_FLUSH_MS: Final = 3000


class Span:
    """A piece of work, which ends with a ``with`` block or by ``end``; this one, of a process without traces.

    In the block it is the parent of the spans that begin there; one that is not entered is nobody's parent.
    """

    is_recording: bool = False
    ids: Mapping[str, str] = {}
    """For the log."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Mark it as failed.

        Args:
            reason: a status, the code of an error or the name of its class.
        """

    def end(self) -> None:
        """End it now."""


NO_SPAN: Final = Span()
_tracing: "_Tracing | None" = None


def configure_telemetry(service: str) -> None:
    """Send traces of this process from now on, if an endpoint is configured.

    Args:
        service: its name, where ``OTEL_SERVICE_NAME`` gives no other.
    """
    global _tracing  # noqa: PLW0603 - one of the process, as handlers of its log are
    if _tracing is not None or not _is_wanted():
        return
    try:
        _tracing = _Tracing(service)
    except ImportError:
        logger.warning("an endpoint for traces is configured; to send any: pip install 'squeeze[telemetry]'")


def close_telemetry() -> None:
    """Send what is left, for a few seconds, and stop."""
    global _tracing  # noqa: PLW0603
    if _tracing is not None:
        _tracing.close()
        _tracing = None


def span(
    name: str, attributes: Attributes | None = None, *, kind: SpanKind = "internal", parent: str | None = None
) -> Span:
    """Begin a piece of work.

    Args:
        name: of few different ones, without ids.
        attributes: to begin with.
        kind: of the work.
        parent: ``traceparent`` of the work that asked for it, maybe in another process; default: the span of
            the block that this is called in, if there is one.
    """
    if _tracing is None:
        return NO_SPAN
    return _tracing.span(name, attributes, kind, parent)


def record(name: str, began_ns: int, ended_ns: int) -> None:
    """Note work that is over, by the clock of ``time.time_ns``, as a part of the present span."""
    if _tracing is not None:
        _tracing.record(name, began_ns, ended_ns)


def traceparent() -> str | None:
    """Of the present span, for those who go on with its work elsewhere."""
    return None if _tracing is None else _tracing.traceparent()


def _is_wanted() -> bool:
    return (
        any(os.environ.get(name) for name in _ENDPOINTS)
        and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )


class _Tracing:
    """The SDK, with a provider that is not the global one: no library writes to it but this module."""

    def __init__(self, service: str) -> None:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.context, self.trace = context, trace
        self._propagator = TraceContextTextMapPropagator()
        self._kinds: dict[SpanKind, trace.SpanKind] = {
            "internal": trace.SpanKind.INTERNAL,
            "server": trace.SpanKind.SERVER,
            "consumer": trace.SpanKind.CONSUMER,
        }
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("squeeze")
        self._outages = Outages()
        logging.getLogger(_EXPORTER_LOG).addFilter(self._report)

    def span(
        self, name: str, attributes: Attributes | None, kind: SpanKind, parent: str | None
    ) -> "_Recorded":
        asked_by: Context | None = None
        if parent is not None:
            asked_by = self._propagator.extract({_PARENT: parent}, self.context.Context())
        begun = self._tracer.start_span(name, asked_by, self._kinds[kind], attributes)
        return _Recorded(self, begun)

    def record(self, name: str, began_ns: int, ended_ns: int) -> None:
        self._tracer.start_span(name, start_time=began_ns).end(ended_ns)

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get(_PARENT)

    def close(self) -> None:
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()
        logging.getLogger(_EXPORTER_LOG).removeFilter(self._report)

    def _report(self, record: logging.LogRecord) -> bool:
        """Let the exporter speak now and then, not with every batch that it cannot send."""
        if record.levelno >= logging.WARNING:
            self._outages.report("collector of traces", record.getMessage())
        return False


class _Recorded(Span):
    is_recording = True

    def __init__(self, tracing: _Tracing, span: "trace.Span") -> None:
        self._tracing = tracing
        self._span = span
        self.ids = {"trace_id": format(span.get_span_context().trace_id, "032x")}

    def __enter__(self) -> Self:
        tracing = self._tracing
        self._token = tracing.context.attach(tracing.trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tracing.context.detach(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        self._span.end()

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        self._span.set_attribute("error.type", reason)
        self._span.set_status(self._tracing.trace.StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()
