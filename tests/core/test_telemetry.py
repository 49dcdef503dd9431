"""Traces are sent where that is configured, and cost nothing elsewhere."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.core.telemetry import NO_SPAN, close_telemetry, configure_telemetry, record, span, traceparent
from tests.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    close_telemetry()


def test_a_process_without_an_endpoint_imports_nothing() -> None:
    program = (
        "import sys\n"
        "from app.core import telemetry\n"
        "telemetry.configure_telemetry('a')\n"
        "assert telemetry.span('b') is telemetry.NO_SPAN\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_an_endpoint_a_span_does_nothing() -> None:
    with span("work", {"a": 1}, parent=PARENT) as work:
        assert work is NO_SPAN
        work.rename("other")
        work.set({"b": 2})
        work.fail("reason")
        record("part", 1, 2)
        assert traceparent() is None
    assert (work.ids, work.is_recording) == ({}, False)


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"])
def test_what_switches_traces_off(name: str, unconfigured: pytest.MonkeyPatch) -> None:
    unconfigured.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    unconfigured.setenv(name, {"OTEL_SDK_DISABLED": "true"}.get(name, "none"))
    configure_telemetry("tests")
    assert span("work") is NO_SPAN


def test_an_endpoint_without_the_packages(
    unconfigured: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unconfigured.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/v1/traces")
    unconfigured.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    configure_telemetry("tests")
    assert span("work") is NO_SPAN
    assert "pip install 'squeeze[telemetry]'" in caplog.text


def test_spans_arrive_with_their_parents(collector: Collector) -> None:
    with span("asked", {"a": 1}, kind="server", parent=PARENT) as asked:
        assert asked.ids == {"trace_id": TRACE}
        onwards = traceparent()
        aside = span("aside")
        record("over", 1_000_000_000, 3_500_000_000)
        aside.end()
    with pytest.raises(ValueError, match="secret"), span("elsewhere", parent=onwards):
        raise ValueError("secret")
    with span("another"):
        pass
    spans = collector.spans()
    root = spans["asked"]
    assert (root.trace_id, root.parent_id, root.kind) == (TRACE, PARENT.split("-")[2], "SERVER")
    assert (root.service, root.attributes, root.is_error) == ("tests", {"a": 1}, False)
    children = [spans[name] for name in ("aside", "over", "elsewhere")]
    assert {(child.trace_id, child.parent_id) for child in children} == {(TRACE, root.span_id)}
    assert spans["over"].seconds == 2.5
    assert (spans["elsewhere"].is_error, spans["elsewhere"].attributes) == (
        True,
        {"error.type": "ValueError"},
    )
    assert not any(b"secret" in body for body in collector.bodies)
    assert (spans["another"].trace_id == TRACE, spans["another"].parent_id) == (False, "")


@pytest.mark.parametrize("given", ["", "00-0-0-01", "x" * 5000, "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
def test_a_parent_that_is_none(given: str, collector: Collector) -> None:
    with span("work", parent=given):
        pass
    assert collector.spans()["work"].parent_id == ""


def test_a_collector_that_is_away_is_logged_once(
    unconfigured: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unconfigured.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    unconfigured.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    unconfigured.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    configure_telemetry("tests")
    for _ in range(5):
        span("work").end()
    close_telemetry()
    [line] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "the collector of traces is unavailable" in line.getMessage()
    assert line.exc_info is None
