"""What the rows are held to."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from benchmarks.harness import Benchmark, Goal, Row, median, ratio, select
from benchmarks.serve.peers import PEERS

OURS: Final = "Squeeze"
BARE: Final = "ONNX Runtime"
SHORT, MIXED = "short", "mixed"
CLIENTS: Final = (1, 8, 32, 128)
MODELS: Final = ("minilm", "student")
PRECISIONS: Final = ("fp32", "int8")
_SHARES: Final = {"minilm": 0.95, "student": 0.85}

AT_SATURATION, TWICE = "at saturation", "at twice saturation"
ALONE, BESIDE_BULK = "alone", "beside a client of 128 long texts"
HOT_ALONE, HOT_BESIDE_LOADS = "a hot model alone", "a hot model beside cold loads"
LOADED, RELOADED, DELETED, EMPTY = "8 loaded", "after 50 loads", "after their deletion", "none loaded"


def _rate(rows: Sequence[Row], server: str, model: str, precision: str, clients: int) -> float | None:
    """At short texts; of the bare loop the best of its ways to run."""
    where = {"part": "throughput", "server": server, "model": model, "precision": precision, "texts": SHORT}
    if server != BARE:
        return median(rows, "rate", setting=f"{clients} clients", **where)
    settings = {str(row["setting"]) for row in select(rows, **where)}
    rates = [median(rows, "rate", setting=setting, **where) for setting in settings]
    return max((rate for rate in rates if rate is not None), default=None)


def _p50_over_bare(model: str, precision: str, rows: Sequence[Row]) -> float | None:
    where = {"part": "throughput", "model": model, "precision": precision, "texts": SHORT}
    ours = median(rows, "p50_ms", server=OURS, setting="1 clients", **where)
    alone = {str(row["setting"]) for row in select(rows, server=BARE, **where)}
    bare = [
        p50
        for setting in alone
        if setting.startswith("batch 1,")
        and (p50 := median(rows, "p50_ms", server=BARE, setting=setting, **where)) is not None
    ]
    return ratio(ours, min(bare, default=None))


def _share(model: str, precision: str, rows: Sequence[Row]) -> float | None:
    return ratio(_rate(rows, OURS, model, precision, 32), _rate(rows, BARE, model, precision, 32))


def _over_peer(peer: str, model: str, precision: str, rows: Sequence[Row]) -> float | None:
    return ratio(_rate(rows, OURS, model, precision, 32), _rate(rows, peer, model, precision, 32))


def _tail(model: str, precision: str, rows: Sequence[Row]) -> float | None:
    where = {"part": "throughput", "server": OURS, "model": model, "precision": precision, "texts": SHORT}
    p99 = median(rows, "p99_ms", setting="32 clients", **where)
    return ratio(p99, median(rows, "p50_ms", setting="32 clients", **where))


def _overload(rows: Sequence[Row]) -> float | None:
    beyond, at = (median(rows, "p99_ms", part="overload", setting=name) for name in (TWICE, AT_SATURATION))
    return ratio(beyond, at)


def _of(column: str, part: str, setting: str, rows: Sequence[Row]) -> float | None:
    return median(rows, column, part=part, setting=setting)


def _memory(setting: str, base: str, rows: Sequence[Row]) -> float | None:
    return ratio(_of("mib", "memory", setting, rows), _of("mib", "memory", base, rows))


def _throughput_goals(model: str, precision: str) -> list[Goal]:
    named = f"{model} {precision}"
    goals = [
        Goal(
            f"{named}: share of the bare loop at 32 clients",
            partial(_share, model, precision),
            at_least=_SHARES[model],
        ),
        Goal(
            f"{named}: p50 at 1 client over the bare loop",
            partial(_p50_over_bare, model, precision),
            at_most=1.2,
        ),
    ]
    if model == "student":
        goals += [
            Goal(
                f"{named}: over {peer.name} at 32 clients",
                partial(_over_peer, peer.name, model, precision),
                at_least=4,
            )
            for peer in PEERS
        ]
    return goals


BENCH: Final = Benchmark(
    "serve",
    keys=("part", "server", "model", "precision", "texts", "setting", "round"),
    goals=[
        *(
            goal
            for model in MODELS
            for precision in PRECISIONS
            for goal in _throughput_goals(model, precision)
        ),
        Goal("student int8: p99 over p50 at 32 clients", partial(_tail, "student", "int8"), at_most=2),
        Goal("accepted p99 at twice saturation over p99 at saturation", _overload, at_most=1.3),
        Goal(
            "p99 of refusals at twice saturation, ms",
            partial(_of, "refused_p99_ms", "overload", TWICE),
            at_most=10,
        ),
        Goal(
            "p99 of a short text beside a bulk client, ms",
            partial(_of, "p99_ms", "fairness", BESIDE_BULK),
            at_most=50,
        ),
        Goal(
            "longest of a hot model beside cold loads, ms",
            partial(_of, "max_ms", "loads", HOT_BESIDE_LOADS),
            at_most=30,
        ),
        Goal(
            "memory after 50 loads and evictions over 8 loaded",
            partial(_memory, RELOADED, LOADED),
            at_most=1.05,
        ),
        Goal("memory after deletion of all over none loaded", partial(_memory, DELETED, EMPTY), at_most=1.3),
        Goal(
            "from process start to the first answer, s",
            partial(_of, "seconds", "start", "squeeze serve"),
            at_most=0.6,
        ),
    ],
)
