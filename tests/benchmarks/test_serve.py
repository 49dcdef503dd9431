"""What the comparison of servers computes."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.closed_loop import post
from benchmarks.harness import Row
from benchmarks.open_loop import measure_open_load
from benchmarks.serve.goals import AT_SATURATION, BARE, BENCH, LOADED, OURS, RELOADED, TWICE
from benchmarks.serve.plot import draw
from tests.app.serving import serving


async def answer(request: Request) -> Response:
    return Response(status_code=int(await request.body()))


def test_an_open_loop_tells_what_was_refused() -> None:
    requests = [post("127.0.0.1", "/", status) for status in (b"200", b"200", b"429", b"500")]
    with serving(Starlette(routes=[Route("/", answer, methods=["POST"])])) as port:
        load = measure_open_load("127.0.0.1", port, requests, rate=400, seconds=0.1)
    assert (len(load.accepted_s), len(load.refused_s), load.failed) == (20, 10, 10)
    assert 0 < load.accepted_ms(0.5) <= load.accepted_ms(0.99)


def row(part: str, setting: str, **columns: float | str) -> Row:
    return {"part": part, "server": OURS, "setting": setting, "texts": "short", "round": 0, **columns}


ROWS: list[Row] = [
    row("overload", AT_SATURATION, p99_ms=100.0),
    row("overload", TWICE, p99_ms=120.0, refused_p99_ms=5.0),
    row("memory", LOADED, mib=400.0),
    row("memory", RELOADED, mib=404.0),
    *(
        row("throughput", setting, rate=rate, p50_ms=p50, p99_ms=4.0)
        | {"server": server, "model": "student", "precision": "int8"}
        for server, setting, rate, p50 in (
            (OURS, "1 clients", 900.0, 1.1),
            (OURS, "32 clients", 1800.0, 2.5),
            (BARE, "batch 1, one thread", 1000.0, 1.0),
            (BARE, "batch 8, sleeping", 2000.0, 4.0),
            ("LitServe", "32 clients", 400.0, 60.0),
        )
    ),
]


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        ("student int8: share of the bare loop at 32 clients", 0.9),
        ("student int8: p50 at 1 client over the bare loop", 1.1),
        ("student int8: over LitServe at 32 clients", 4.5),
        ("student int8: p99 over p50 at 32 clients", 1.6),
        ("accepted p99 at twice saturation over p99 at saturation", 1.2),
        ("memory after 50 loads and evictions over 8 loaded", 1.01),
        ("student int8: over BentoML at 32 clients", None),
    ],
)
def test_goals(goal: str, reached: float | None) -> None:
    [found] = [each for each in BENCH.goals if each.text == goal]
    value = found.reached(ROWS)
    assert value == (None if reached is None else pytest.approx(reached))
    assert found.is_met(value) == (reached is not None)


def test_the_plot_has_the_rates(tmp_path: Path) -> None:
    draw(ROWS, tmp_path / "serve.svg")
    drawn = (tmp_path / "serve.svg").read_text()
    assert drawn.startswith("<svg")
    assert all(f">{rate}<" in drawn for rate in (900, 1800, 400))
    assert "best loop: 2000" in drawn
