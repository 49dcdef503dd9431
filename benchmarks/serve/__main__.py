"""Serving, measured as clients feel it: ``python -m benchmarks.serve``.

The load generator is a process of its own. Servers take turns, round after round, and medians of rounds are
compared: a bare loop over ONNX Runtime, this service, and LitServe, BentoML and MLServer where they install.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from app.core.settings import Settings
from app.embedded import running, settings_environment
from benchmarks.closed_loop import Load, measure_beside, measure_load
from benchmarks.harness import Row, say
from benchmarks.open_loop import measure_open_load
from benchmarks.predict import (
    LOOPS,
    bare_loop,
    empty_service,
    export_models,
    predict_request,
    read_texts,
    register_model,
    running_service,
)
from benchmarks.processes import resident_mib
from benchmarks.serve.goals import (
    ALONE,
    AT_SATURATION,
    BARE,
    BENCH,
    BESIDE_BULK,
    CLIENTS,
    DELETED,
    EMPTY,
    HOT_ALONE,
    HOT_BESIDE_LOADS,
    LOADED,
    MIXED,
    MODELS,
    OURS,
    PRECISIONS,
    RELOADED,
    SHORT,
    TWICE,
)
from benchmarks.serve.peers import PEERS, WORK
from benchmarks.serve.plot import draw

HOST = "127.0.0.1"
WARM_UP_S = 1.0
SATURATING_CLIENTS = 64
LOADED_MODELS = 8
LOADS = 50
COLD_MODELS = 40
BULK_TEXTS, LONG_WORDS = 128, 400
PARTS = ("throughput", "overload", "fairness", "loads", "memory", "start")

Generator = ProcessPoolExecutor


class Bench(NamedTuple):
    """What all parts need."""

    options: argparse.Namespace
    generator: Generator
    texts: dict[str, list[str]]

    def load(self, port: int, requests: Sequence[bytes], clients: int) -> Row:
        load: Load = self.generator.submit(
            measure_load,
            HOST,
            port,
            requests,
            clients=clients,
            seconds=self.options.seconds,
            warm_up_s=WARM_UP_S,
        ).result()
        return _row_of(load)


def measure(options: argparse.Namespace) -> None:
    export_models(MODELS)
    short = read_texts(options.data / "dev.jsonl.gz")
    texts = {SHORT: short, MIXED: _mixed(short)}
    parts: dict[str, Callable[[Bench, int], None]] = {
        "throughput": _throughput,
        "overload": _overload,
        "fairness": _fairness,
        "loads": _loads,
        "memory": _memory,
        "start": _start,
    }
    with ProcessPoolExecutor(1, get_context("spawn")) as generator:
        bench = Bench(options, generator, texts)
        for number in range(options.rounds):
            for name in options.only or PARTS:
                parts[name](bench, number)
    draw(BENCH.rows, options.out.with_suffix(".svg"))


def _throughput(bench: Bench, number: int) -> None:
    peers = [peer for peer in PEERS if bench.options.peers and peer.install()]
    for model, precision in product(bench.options.models, PRECISIONS):
        for name, texts in bench.texts.items():
            for loop in LOOPS:
                key = ("throughput", BARE, model, precision, name, str(loop), number)
                BENCH.run(key, partial(bare_loop, model, precision, texts, loop, bench.options.seconds))
        # Closed loops: their clients wait, however long, as those of the others do.
        with _service([model], inference_wait=timedelta(minutes=1)) as (settings, [model_id]):
            ask = partial(predict_request, model_id, precision)
            _at_each(bench, OURS, model, precision, number, settings.port, ask)
        for peer in peers:
            with peer.serving(model, precision) as port:
                _at_each(bench, peer.name, model, precision, number, port, peer.request)


def _at_each(
    bench: Bench,
    server: str,
    model: str,
    precision: str,
    number: int,
    port: int,
    ask: Callable[[str], bytes],
) -> None:
    for (name, texts), clients in product(bench.texts.items(), bench.options.clients):
        key = ("throughput", server, model, precision, name, f"{clients} clients", number)
        BENCH.run(key, partial(bench.load, port, [ask(text) for text in texts], clients))


def _overload(bench: Bench, number: int) -> None:
    """Each request is due at its time, whatever becomes of those before."""
    with _service(["student"]) as (settings, [model_id]):
        requests = [predict_request(model_id, "int8", text) for text in bench.texts[SHORT]]
        rate = float(str(bench.load(settings.port, requests, SATURATING_CLIENTS)["rate"]))
        for setting, share in ((AT_SATURATION, 1.0), (TWICE, 2.0)):

            def send(share: float = share) -> Row:
                load = bench.generator.submit(
                    measure_open_load,
                    HOST,
                    settings.port,
                    requests,
                    rate=share * rate,
                    seconds=bench.options.seconds,
                ).result()
                return {
                    "rate": share * rate,
                    "accepted": len(load.accepted_s),
                    "refused": len(load.refused_s),
                    "failed": load.failed,
                    "p99_ms": load.accepted_ms(0.99),
                    "refused_p99_ms": load.refused_ms(0.99),
                }

            BENCH.run(("overload", OURS, "student", "int8", SHORT, setting, number), send)


def _fairness(bench: Bench, number: int) -> None:
    with _service(["minilm"]) as (settings, [model_id]):
        short = [predict_request(model_id, "int8", text) for text in bench.texts[SHORT]]
        long = [" ".join(bench.texts[SHORT])[: 5 * LONG_WORDS]] * BULK_TEXTS
        bulk = [predict_request(model_id, "int8", long)]
        for setting, other in ((ALONE, []), (BESIDE_BULK, bulk)):
            key = ("fairness", OURS, "minilm", "int8", SHORT, setting, number)
            BENCH.run(key, partial(_beside, bench, settings.port, short, other, others=1))


def _loads(bench: Bench, number: int) -> None:
    with _service(["student"] * (1 + COLD_MODELS)) as (settings, [hot_id, *cold_ids]):
        hot = [predict_request(hot_id, "int8", text) for text in bench.texts[SHORT]]
        cold = [predict_request(id_, "int8", bench.texts[SHORT][0]) for id_ in cold_ids]
        for setting, other in ((HOT_ALONE, []), (HOT_BESIDE_LOADS, cold)):
            key = ("loads", OURS, "student", "int8", SHORT, setting, number)
            BENCH.run(key, partial(_beside, bench, settings.port, hot, other, others=4))


def _beside(
    bench: Bench, port: int, requests: Sequence[bytes], other: Sequence[bytes], *, others: int
) -> Row:
    """One client, while others send something else."""
    load = bench.generator.submit(
        measure_beside,
        HOST,
        port,
        requests,
        other,
        others=others,
        seconds=bench.options.seconds,
        warm_up_s=WARM_UP_S,
    )
    return _row_of(load.result())


def _memory(_: Bench, number: int) -> None:
    with ExitStack() as stack:
        settings, ids = stack.enter_context(_models(["student"] * 3 * LOADED_MODELS))
        process = stack.enter_context(running_service(settings, log=WORK / "api.log"))
        client = stack.enter_context(httpx.Client(base_url=f"http://{HOST}:{settings.port}", timeout=60))

        def settled(setting: str) -> None:
            time.sleep(1)  # what leaves the memory does so beside requests
            key = ("memory", OURS, "student", "fp32", SHORT, setting, number)
            BENCH.run(key, lambda: {"mib": resident_mib(process.pid)})

        def ask(model_id: str) -> None:
            body = {"inputs": "a film to remember", "parameters": {"precision": "fp32"}}
            client.post(f"/v1/models/{model_id}/predict", json=body).raise_for_status()

        client.get("/v1/models").raise_for_status()
        settled(EMPTY)
        for model_id in ids[:LOADED_MODELS]:
            ask(model_id)
        settled(LOADED)
        for load in range(LOADED_MODELS, LOADED_MODELS + LOADS):
            ask(ids[load % len(ids)])
        settled(RELOADED)
        for model_id in ids:
            client.delete(f"/v1/models/{model_id}").raise_for_status()
            client.post(f"/v1/models/{model_id}/predict", json={"inputs": "a"})  # notices that it is gone
        time.sleep(6)  # so long a deleted model may be believed to be there
        for model_id in ids:
            client.post(f"/v1/models/{model_id}/predict", json={"inputs": "a"})
        settled(DELETED)


def _start(_: Bench, number: int) -> None:
    with _models(["student"]) as (settings, [model_id]):
        for role in ("api", "serve"):
            key = ("start", OURS, "student", "int8", SHORT, f"squeeze {role}", number)
            BENCH.run(key, partial(_first_answer, settings, model_id, role))


def _first_answer(settings: Settings, model_id: str, role: str) -> Row:
    url = f"http://{HOST}:{settings.port}/v1/models/{model_id}/predict"
    body: dict[str, Any] = {"inputs": "a film to remember", "parameters": {"precision": "int8"}}
    began = time.perf_counter()
    command = [sys.executable, "-P", "-m", "app.cli", role]
    with running(command, environment=settings_environment(settings), log=WORK / "api.log"):
        while time.perf_counter() < began + 60:
            try:
                httpx.post(url, json=body, timeout=10).raise_for_status()
            except httpx.TransportError:
                time.sleep(0.005)
            else:
                return {"seconds": time.perf_counter() - began}
    raise RuntimeError(f"squeeze {role} gave no answer; see {WORK / 'api.log'}")


@contextmanager
def _models(names: Sequence[str], **changes: Any) -> Iterator[tuple[Settings, list[str]]]:
    """A service that is not started, with models of these names, and their ids."""
    settings = empty_service(WORK / "service", **changes)
    yield settings, [register_model(settings, name) for name in names]


@contextmanager
def _service(names: Sequence[str], **changes: Any) -> Iterator[tuple[Settings, list[str]]]:
    with _models(names, **changes) as (settings, ids), running_service(settings, log=WORK / "api.log"):
        yield settings, ids


def _row_of(load: Load) -> Row:
    """A server that answered nothing in the time has a rate of 0, and no latencies."""
    if not load.latencies_s:
        return {"rate": 0.0}
    return {
        "rate": load.rate,
        "p50_ms": load.quantile_ms(0.5),
        "p99_ms": load.quantile_ms(0.99),
        "max_ms": load.quantile_ms(1.0),
    }


def _mixed(short: Sequence[str]) -> list[str]:
    """One to sixteen of the texts in a row: from a few to some hundred tokens."""
    draws = random.Random(0)
    return [" ".join(draws.choices(short, k=draws.choice((1, 1, 1, 2, 4, 16)))) for _ in short]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sst2"), help="has dev.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of one measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--models", choices=MODELS, nargs="+", default=list(MODELS), help="of throughput")
    parser.add_argument("--only", choices=PARTS, nargs="+", help="some of the parts")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="this service alone")
    WORK.mkdir(parents=True, exist_ok=True)
    say(f"models and environments are kept in {WORK}")
    return BENCH.main(measure, parser, selects=["only", "models", "peers", "clients", "rounds"])


if __name__ == "__main__":
    sys.exit(main())
